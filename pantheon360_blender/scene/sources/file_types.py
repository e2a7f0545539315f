"""Which files the sources read, apart from how: what file dialogs, dropping and menus ask for at start-up."""

POINTS_AND_POSES = (".ply", ".las", ".laz", ".e57", ".npz", ".json", ".bin", ".txt")
"""Points, or pictures with poses, of other programs; folders may be, too."""

DEPTH_IMAGES = (".png", ".exr")
