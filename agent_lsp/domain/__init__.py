"""The vocabulary and the rules. Standard library only: no await, no I/O, no clock."""
