"""Where the cache's points come from."""
