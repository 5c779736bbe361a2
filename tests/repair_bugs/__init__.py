"""Small programs with one known slip each, for measuring the embedded repair engine."""
