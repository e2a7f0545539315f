"""A shot: clips along the path, kept, joined and written."""
