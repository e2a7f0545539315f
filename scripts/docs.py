"""The documentation site: docs/ by mkdocs-material into out/site. A link or a picture that is not there fails."""

from __future__ import annotations

import os
import subprocess
import sys

import environments


def main() -> int:
    python = environments.needed("docs", "docs")
    build = [str(python), "-m", "mkdocs", "build", "--strict", "--quiet", "--clean"]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # an advertisement
    code = subprocess.run(build, cwd=environments.ROOT, env=quiet).returncode
    print("[docs] out/site/index.html" if code == 0 else "[docs] the site cannot be built")
    return code


if __name__ == "__main__":
    sys.exit(main())
