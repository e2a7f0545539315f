"""The other process: whatever needs time, memory or packages that Blender does not have. Never `bpy`."""
