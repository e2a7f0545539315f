"""What the add-on and its backend agree on. numpy and the standard library only; never `bpy`."""
