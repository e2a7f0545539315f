"""The camera's path through the cache."""
