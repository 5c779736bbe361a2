"""Owns the demonstration: a sample project, an editor small enough to print, and the main job through both."""
