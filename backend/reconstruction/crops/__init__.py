"""Reconstruction from perspective crops of captures."""
