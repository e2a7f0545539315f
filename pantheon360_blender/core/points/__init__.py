"""Point clouds and what is done to them."""
