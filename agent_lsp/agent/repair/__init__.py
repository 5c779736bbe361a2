"""The embedded, deterministic repair engine that serves goals without a language model."""
