"""Language models: the only folder that talks to the network."""
