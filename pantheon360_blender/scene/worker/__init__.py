"""A second Blender, without a window, that decodes and encodes while the first one draws and listens."""
