"""Every parser of files from elsewhere, by name."""

from __future__ import annotations

from . import colours, jobs, pictures, sources, videos
from .parser import Parser

PARSERS: dict[str, Parser] = {
    parser.name: parser for room in (pictures, colours, videos, sources, jobs) for parser in room.PARSERS
}
