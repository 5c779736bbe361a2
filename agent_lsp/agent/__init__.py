"""What the agent does. Reaches the world only through `domain.ports`."""
