"""Networks within the memory there is."""
