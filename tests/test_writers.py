"""Who writes files without an OutputFolder, and why that leads nowhere: everybody else goes through one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import layers

ON_THEIR_OWN = {
    "pantheon360_blender/core/output_folder.py": "the guard itself",
    "pantheon360_blender/core/temporary.py": "makes and removes what has a name of its own making",
    "pantheon360_blender/core/files.py": "paths that a person named",
    "pantheon360_blender/core/importers/camera_paths.py": "a path that a person named",
    "pantheon360_blender/core/jobs/job_folder.py": "makes the folder for jobs that a person named",
    "pantheon360_blender/core/formats/png.py": "a path that a person named",
    "pantheon360_blender/core/formats/npz.py": "a member of an archive that is being written",
    "pantheon360_blender/core/formats/ply.py": "a path that a person named",
    "pantheon360_blender/core/points/point_cloud.py": "a path that a person named",
    "pantheon360_blender/core/formats/video/rewriting.py": "a video that a person named",
    "pantheon360_blender/core/formats/openimageio.py": "a private temporary folder",
    "pantheon360_blender/core/jobs/model_card.py": "a model that is being made in a private folder",
    "pantheon360_blender/scene/sources/import_files.py": "removes a folder once it is empty",
    "backend/importers/__main__.py": "removes a folder that a person named if it is empty",
    "backend/reconstruction/poses/poses.py": "a private temporary folder",
    "backend/reconstruction/poses/colmap_process.py": "the private temporary folder of poses.py",
    "backend/reconstruction/reconstructors/_weights.py": "weights in the person's folder, by a hash for a name",
    "backend/diffusion/models/new_folder.py": "makes the folder for models that a person named",
    "backend/diffusion/models/model_store.py": "a model that is being made in a private folder",
    "backend/diffusion/models/convert.py": "a model that is being made in a private folder",
    "backend/diffusion/models/tiny_model.py": "a model that is being made in a private folder",
    "backend/diffusion/models/commands.py": "points a closed stdout to the null device",
    "backend/run.py": "points a closed stdout to the null device",
    "backend/reporting.py": "points stdin to the null device",
    "backend/self_test.py": "a private temporary folder",
    "backend/evaluation/evaluate.py": "a folder for results that a person named",
    "backend/evaluation/methods.py": "a private temporary folder",
    "backend/evaluation/pictures.py": "a folder for results that a person named",
    "backend/evaluation/tables.py": "a folder for results that a person named",
    "backend/training/shards/preparation.py": "makes the folder that a person named",
    "backend/training/trainer/checkpoints.py": "the folder of a run, which a person named",
    "backend/training/trainer/commands.py": "the folder of a run, which a person named",
    "backend/training/trainer/starts.py": "the folder of a run, which a person named",
    "backend/training/trainer/training_log.py": "the folder of a run, which a person named",
    "pantheon360_blender/core/engine/install.py": "the engine's own folder, which nothing that is read names",
    "pantheon360_blender/core/engine/command.py": "the log in the engine's own folder, or one that a person named",
    "pantheon360_blender/core/engine/fetch.py": "the engine's own folder, or one that a person named",
    "pantheon360_blender/core/engine/uv.py": "the engine's own folder, which nothing that is read names",
    "pantheon360_blender/core/engine/installed.py": "the engine's own folder, which nothing that is read names",
    "pantheon360_blender/core/inputs.py": "reads, and opens descriptors for it",
    "pantheon360_blender/core/unexpected.py": "a log in the extension's own folder",
    "backend/diffusion/models/tensor_file.py": "a model that is being made in a private folder",
    "cli/command_line.py": "the .blend that a person named",
    "cli/console.py": "a stream on a descriptor",
    "pantheon360_blender/scene/captures/decoding.py": "the private folder of its request",
    "pantheon360_blender/scene/second_blender.py": "what Blender prints, to stderr",
}
"""Files that write, make, rename or remove files by path."""

OF_PATHS = {"mkdir", "unlink", "rmdir", "touch", "rename", "symlink_to", "hardlink_to", "write_text"}
OF_MODULES = {
    "os": {
        "open",
        "replace",
        "rename",
        "remove",
        "unlink",
        "mkdir",
        "makedirs",
        "rmdir",
        "link",
        "symlink",
        "truncate",
    },
    "shutil": {"rmtree", "copy", "copy2", "copyfile", "copytree", "move"},
    "tempfile": {"mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryDirectory"},
    "files": {"writing", "write_bytes", "write_json"},
    "png": {"write"},
    "ply": {"write"},
    "np": {"save"},
}
OF_LIBRARIES = {"save_file", "save_pretrained", "save_as_mainfile", "dup2"}


def writes(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of every call of a file that writes, makes, renames or removes files by path."""
    for node in ast.walk(ast.parse((layers.ROOT / path).read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        module = owner.id if isinstance(owner, ast.Name) else ""
        by_module = name in OF_MODULES.get(module, ())
        by_path = name in OF_PATHS and module not in OF_MODULES and _is_of_a_path(name, node)
        opened = name == "open" and module not in OF_MODULES and _writes(node)
        if by_module or by_path or opened or name in OF_LIBRARIES or (name == "write_bytes" and len(node.args) == 1):
            yield node.lineno, f"{module}.{name}" if module else name


def _is_of_a_path(name: str, node: ast.Call) -> bool:
    """`output_folder.rename(old, new)` is none, `path.rename(new)` is."""
    return name != "rename" or len(node.args) == 1


def _writes(node: ast.Call) -> bool:
    """Whether an open() says that it writes, in its second argument as a function, in its first as a method."""
    given = [*node.args[:2], *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
    modes = [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return any(set(mode) <= set("rwaxbt+") and set(mode) & set("wax+") for mode in modes)


def test_everything_is_written_through_an_output_folder() -> None:
    found = {path.as_posix(): [*writes(path)] for path in layers.files()}
    strangers = [f"{path}:{line}: {name}" for path, calls in found.items() for line, name in calls]
    assert [each for each in strangers if each.split(":")[0] not in ON_THEIR_OWN] == []
    assert [path for path in ON_THEIR_OWN if not found.get(path)] == [], "these need no permission any more"


def test_nothing_has_imageio_write_bytes() -> None:
    """It does so by a file in the system's temporary folder, which stays there if the process is killed."""
    constants = {
        f"{path.as_posix()}:{node.lineno}"
        for path in layers.files()
        for node in ast.walk(ast.parse((layers.ROOT / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value == "<bytes>"
    }
    assert constants == set()


@pytest.mark.parametrize(
    "line",
    [
        'open(place, "wb")',
        'open(place, mode="a")',
        'place.open("w")',
        "place.write_bytes(data)",
        "place.write_text(text)",
        "(place / name).unlink(missing_ok=True)",
        "os.open(place, os.O_CREAT)",
        "shutil.rmtree(place)",
        "files.write_json(place, value)",
        "png.write(place, image)",
        "place.parent.mkdir()",
    ],
)
def test_a_writer_is_found(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text(line)
    monkeypatch.setattr(layers, "ROOT", tmp_path)
    assert len([*writes(Path("a.py"))]) == 1
    (tmp_path / "a.py").write_text('open(place, "rb"), folder.write_bytes(name, data), text.replace("a", "w")')
    assert [*writes(Path("a.py"))] == []
