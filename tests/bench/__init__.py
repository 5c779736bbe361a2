"""Owns the measurements behind `make bench`: ratios against a named baseline in the same run, medians."""
