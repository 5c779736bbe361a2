"""Builds every object, once. Imports everything; nothing but `cli` imports it."""
