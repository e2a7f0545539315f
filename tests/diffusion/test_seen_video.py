"""Videos of what the model sees: what they show, and what is left of one whose writer was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from backend.diffusion.shot import seen_video
from pantheon360_blender.core.output_folder import OutputFolder
from pantheon360_blender.core.progress import run_to_end

ROOT = Path(__file__).resolve().parents[2]

for package in ("imageio", "imageio_ffmpeg"):
    pytest.importorskip(package, reason=f"the backend environment has {package}")

ENDLESS = """
import sys
import numpy as np
from pathlib import Path
from backend.diffusion.shot import seen_video
from pantheon360_blender.core.output_folder import OutputFolder

noise = np.random.default_rng(1).integers(0, 255, (600, 256, 512, 3), dtype=np.uint8)
for _ in seen_video.write(OutputFolder(Path(sys.argv[1])), 0, [noise], 24.0):
    print("saving", flush=True)
print("saved", flush=True)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_passes_are_videos_of_their_own(tmp_path: Path) -> None:
    import imageio.v3

    grey = np.broadcast_to(np.arange(0, 250, 50, dtype=np.uint8)[:, None, None, None], (5, 32, 64, 3)).copy()
    run_to_end(seen_video.write(OutputFolder(tmp_path), 0, [grey, grey[::-1].copy()], 24.0))
    assert names(tmp_path) == ["seen", "seen/0001-2.mp4", "seen/0001.mp4"]
    seen = np.asarray(imageio.v3.imread(tmp_path / "seen" / "0001-2.mp4", plugin="FFMPEG"))
    np.testing.assert_allclose(seen.mean(axis=(1, 2, 3)), [200, 150, 100, 50, 0], atol=4)


@pytest.mark.skipif(os.name == "nt", reason="kills as POSIX does")
def test_a_killed_save_leaves_nothing_outside_the_job_and_the_next_run_removes_the_rest(tmp_path: Path) -> None:
    job, temporary = OutputFolder.made(tmp_path / "job"), tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-B", "-c", ENDLESS, str(job.path)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"saving\n"
        deadline = time.monotonic() + 300
        while not any(path.is_file() for path in job.path.rglob("*")) and time.monotonic() < deadline:
            time.sleep(0.005)
        child.kill()
        assert b"saved" not in child.stdout.read()
    assert len(names(job.path)) == 2, "a folder with a part of a video"
    assert names(temporary) == []
    while names(job.path) and time.monotonic() < deadline:  # the encoder may be at its last frame
        job.remove_abandoned(alone=True)
    assert names(job.path) == []
