"""Cameras, equirectangular images and captures."""
