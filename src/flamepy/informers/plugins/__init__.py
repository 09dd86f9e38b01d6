"""Plugins: how they are found, loaded and started."""
