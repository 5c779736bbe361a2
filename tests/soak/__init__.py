"""A long review with a random person: what the text must be is known at every step (`make soak` is the long one)."""
