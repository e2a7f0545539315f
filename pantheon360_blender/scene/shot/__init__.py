"""From the geometry pass to the strip."""
