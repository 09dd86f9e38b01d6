"""The object cache's server: Arrow Flight, objects in memory and on disk."""
