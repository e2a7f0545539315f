"""What repairs an error: ids of the interface's operators, as `PantheonError.repair` carries them.

Whoever shows an error looks here for the button (scene/app/disabled_reason.py) or the verb (cli/console.py).
"""

from __future__ import annotations

IMPORT_CAPTURES = "pantheon360.import_captures"
MAKE_PROXY = "pantheon360.make_proxy"
PROJECT_CAPTURES = "pantheon360.project_captures"
BUILD_CACHE = "pantheon360.build_cache"
SET_PATH_ENDS = "pantheon360.set_path_ends"
SET_UP_RENDERING = "pantheon360.set_up_rendering"
OPEN_PREFERENCES = "pantheon360.open_preferences"
INSTALL_ENGINE = "pantheon360.install_engine"
ADD_MODEL = "pantheon360.add_model"

ALL = (
    IMPORT_CAPTURES,
    MAKE_PROXY,
    PROJECT_CAPTURES,
    BUILD_CACHE,
    SET_PATH_ENDS,
    SET_UP_RENDERING,
    OPEN_PREFERENCES,
    INSTALL_ENGINE,
    ADD_MODEL,
)

BY_CODE = {
    "missing-package": INSTALL_ENGINE,
    "missing-packages": INSTALL_ENGINE,
    "no-model": ADD_MODEL,
}
"""Code of an error -> what repairs it, for errors that come from the backend: only their codes cross the wire."""
