"""Libraries that importers need and this Python may lack: their packages, and the error that says how to get them."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from pantheon360_blender.core.importers import MissingLibraryError

PACKAGES = {
    "LAS, LAZ, COPC": {"laspy": "laspy[lazrs]", "lazrs": "laspy[lazrs]", "pyproj": "pyproj"},
    "E57": {"pye57": "pye57"},
    "Pictures, OpenEXR of every kind": {"OpenImageIO": "openimageio"},
    "Videos": {"cv2": "opencv-python-headless"},
}
"""What is read by libraries: the modules that it takes, and the packages they are in."""


def imported(module: str, what: str, package: str) -> Any:
    """A module by its name. what, package: as of `library`. Raises MissingLibraryError."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise library(what, package) from error


def library(what: str, package: str) -> MissingLibraryError:
    """The error for a library that is missing. what: says who needs it, as "E57 files need pye57"."""
    return MissingLibraryError(
        f"{what}, which is not installed in {sys.executable}.",
        advice=f'Install it: "{sys.executable}" -m pip install "{package}"',
    )
