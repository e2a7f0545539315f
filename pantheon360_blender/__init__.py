"""Pantheon360: sparse 360° captures to camera-controlled 360° video."""
