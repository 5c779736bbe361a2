"""What is copied beside a workspace's tests and runs in its own Python: 3.8 or newer, standard library, pytest."""
