"""Files that are copied beside a workspace's tests and run in its own interpreter: Python 3.8, standard library, pytest."""
