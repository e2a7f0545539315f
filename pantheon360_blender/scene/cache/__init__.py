"""The 3D cache: a mesh of coloured points."""
