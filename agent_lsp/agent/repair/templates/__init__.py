"""The families of small edits, one file each; `registry.py` is their table."""
