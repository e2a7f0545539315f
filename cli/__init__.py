"""The command line: the third face, beside operators and panels."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from typing import Any

import bpy

NAME = "pantheon360"
"""Of Blender's command: `blender --command pantheon360 VERB ...`."""

_command: Any = None


def _main(arguments: Sequence[str]) -> int:
    """Run a verb. What it takes is imported when somebody asks for one, not while Blender starts."""
    from .command_line import main

    return main(arguments)


def register() -> None:
    global _command
    utilities: Any = bpy.utils
    _command = utilities.register_cli_command(NAME, _main)
    atexit.register(unregister)  # 4.5 crashes at exit while a command is registered


def unregister() -> None:
    global _command
    atexit.unregister(unregister)
    if _command is not None:
        bpy.utils.unregister_cli_command(_command)
        _command = None
