"""Families of places that clips are taken in: one file each, and what stands about in them."""
