"""What a model may call while it executes a step: one file per tool."""
