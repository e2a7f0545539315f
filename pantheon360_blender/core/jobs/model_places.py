"""Where a person's painter models are, for both processes: the backend keeps them there, Blender lists them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from .. import person_folder

_NAME = re.compile(r"[\w][\w.+-]{0,63}")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def is_name(text: str) -> bool:
    """Whether a text may be a model's name in the store."""
    return _NAME.fullmatch(text) is not None


def is_hub_id(text: str) -> bool:
    """Whether a text may be a model's id on the Hugging Face hub, as in OWNER/MODEL."""
    return _HUB_ID.fullmatch(text) is not None


def root(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """The store's folder: PANTHEON360_MODELS, or one in the person's data folder. It may not exist yet."""
    stated = environment.get("PANTHEON360_MODELS")
    if stated:
        return Path(stated).expanduser().absolute()
    return person_folder.path(environment, platform) / "models"
