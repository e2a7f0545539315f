"""Captures: objects whose transform is the pose of a 360° photograph."""
