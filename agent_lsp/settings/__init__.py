"""Configuration: layers, validation, trust."""
