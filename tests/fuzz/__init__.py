"""A fuzzer of the edge: lawful, mutated, torn and reordered messages against the real server with a small runtime."""
