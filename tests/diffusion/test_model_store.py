"""A person's models: added, listed, checked, found again; offline unless asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("diffusers", reason="needs diffusers")

from safetensors.torch import load_file, save_file  # noqa: E402

from backend.__main__ import main  # noqa: E402
from backend.diffusion.models import commands, loading, model_folder, model_store  # noqa: E402
from pantheon360_blender.core import temporary  # noqa: E402
from pantheon360_blender.core.errors import BackendError, ModelError  # noqa: E402
from pantheon360_blender.core.jobs import model_card, model_places  # noqa: E402
from pantheon360_blender.core.progress import run_to_end  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store, and an empty cache of the hub."""
    monkeypatch.setenv("PANTHEON360_MODELS", str(tmp_path / "store"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "store"


@pytest.fixture
def unet_alone(tiny: Path, tmp_path: Path) -> Path:
    """What Argus publishes: a folder with `unet` and nothing else."""
    place = tmp_path / "panoramic"
    shutil.copytree(tiny / "unet", place / "unet")
    tensors = {name: tensor + 0.01 for name, tensor in load_file(tiny / UNET).items()}
    save_file(tensors, place / UNET, {"format": "pt"})
    return place


def in_hub_cache(hub: Path, hub_id: str, source: Path) -> None:
    """Lay a folder out as huggingface_hub does after a download."""
    place = hub / f"models--{hub_id.replace('/', '--')}"
    shutil.copytree(source, place / "snapshots" / "abc")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc")


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, ".local/share/pantheon360/models"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/pantheon360/models"),
        ("linux", {"XDG_DATA_HOME": "relative"}, ".local/share/pantheon360/models"),
        ("darwin", {}, "Library/Application Support/pantheon360/models"),
        ("win32", {}, "AppData/Local/pantheon360/models"),
        ("linux", {"PANTHEON360_MODELS": "/models"}, "/models"),
    ],
)
def test_where_models_are(platform: str, environment: dict[str, str], expected: str) -> None:
    assert PurePosixPath(model_places.root(environment, platform)) == PurePosixPath(Path.home(), expected)


@pytest.mark.parametrize("copy", [False, True])
def test_an_added_model_is_found_by_its_name_and_loads(tiny: Path, store: Path, copy: bool) -> None:
    entry = run_to_end(model_store.add(str(tiny), name="mine", copy=copy))
    assert entry.folder is not None and [found.name for found in model_store.entries()] == ["mine"]
    assert (store / "mine" / UNET).exists() == copy
    loaded = loading.load(model_store.find("mine"))
    assert torch.equal(loaded.unet.conv_in.weight, load_file(tiny / UNET)["conv_in.weight"])
    assert loaded.card == model_folder.open(tiny).card


def test_a_copy_outlives_its_source_and_a_link_says_what_happened(model: Callable[..., Path]) -> None:
    source = model()
    run_to_end(model_store.add(str(source), name="copied", copy=True))
    run_to_end(model_store.add(str(source), name="linked"))
    shutil.rmtree(source)
    copied, linked = model_store.entries()
    assert copied.folder is not None
    assert linked.folder is None and "unet" in linked.problem
    with pytest.raises(ModelError):
        model_store.find("linked")


def test_what_a_killed_copy_left_goes_with_the_next_one(tiny: Path, store: Path) -> None:
    """Gigabytes of weights, under the name that a run of this process's number had, which is another one now."""
    left = store / temporary.name("mine").replace(temporary._RUN, "12345678")
    (left / "unet").mkdir(parents=True)
    (left / "unet" / "half.safetensors").write_bytes(b"half")
    assert not model_store.entries()
    run_to_end(model_store.add(str(tiny), name="other"))
    assert [path.name for path in store.iterdir()] == ["other"]


def test_a_unet_alone_takes_the_rest_of_its_base(unet_alone: Path, tiny: Path) -> None:
    """What it was trained for is asked, not guessed: nothing in it tells."""
    with pytest.raises(ModelError, match="alone") as refused:
        run_to_end(model_store.add(str(unet_alone), base=str(tiny)))
    assert "--kind argus" in refused.value.advice
    with pytest.raises(ModelError, match="alone") as refused:
        run_to_end(model_store.add(str(unet_alone), kind="argus"))
    assert "--base" in refused.value.advice
    run_to_end(model_store.add(str(unet_alone), base=str(tiny), kind="argus"))
    folder = model_store.find("panoramic")
    assert folder.card.kind == "argus" and folder.card.trained and "Argus" in folder.card.capability
    loaded = loading.load(folder)
    assert torch.equal(loaded.unet.conv_in.weight, load_file(unet_alone / UNET)["conv_in.weight"])
    assert torch.equal(
        loaded.vae.quant_conv.weight,
        load_file(tiny / "vae/diffusion_pytorch_model.safetensors")["quant_conv.weight"],
    )


def test_the_folder_of_the_unet_itself_will_do_and_a_kind_can_be_told(unet_alone: Path, tiny: Path) -> None:
    run_to_end(model_store.add(str(tiny), name="base"))
    run_to_end(model_store.add(str(unet_alone / "unet"), name="tuned", base="base", kind="svd-xt", licence="CC0"))
    card = model_store.find("tuned").card
    assert (card.kind, card.licence) == ("svd-xt", "CC0")


def test_a_unet_of_another_shape_than_its_base_is_refused_and_nothing_is_left(
    unet_alone: Path, tiny: Path, store: Path
) -> None:
    config = json.loads((unet_alone / "unet" / "config.json").read_text())
    (unet_alone / "unet" / "config.json").write_text(json.dumps({**config, "cross_attention_dim": 64}))
    with pytest.raises(ModelError, match="panoramic"):
        run_to_end(model_store.add(str(unet_alone), base=str(tiny), kind="argus"))
    assert list(store.iterdir()) == []


def test_cancelling_leaves_nothing(tiny: Path, store: Path) -> None:
    job = model_store.add(str(tiny), name="mine", copy=True)
    for step in job:
        if step.phase == "Copying":
            break
    job.close()
    assert list(store.iterdir()) == []


@pytest.mark.parametrize("name", ["../outside", ".hidden", "", "a/b", "x" * 100, "a\nb"])
def test_names_that_are_none(tiny: Path, tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.iterdir())
    if name:
        with pytest.raises(ModelError):
            run_to_end(model_store.add(str(tiny), name=name))
    with pytest.raises(ModelError):
        model_store.find(name or "nothing")
    assert sorted(tmp_path.iterdir()) == before


def test_a_name_is_given_once(tiny: Path) -> None:
    run_to_end(model_store.add(str(tiny), name="mine"))
    with pytest.raises(ModelError, match="already"):
        run_to_end(model_store.add(str(tiny), name="mine"))


# The hub ------------------------------------------------------------------------------------------------------------


def test_a_hub_id_offline_says_how_to_download_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: Any) -> None:
        raise AssertionError("went to the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for look in (model_store.find, lambda model: run_to_end(model_store.add(model))):
        with pytest.raises(ModelError, match="not on this computer") as refused:
            look("stabilityai/stable-video-diffusion-img2vid-xt")
        assert "--download" in refused.value.advice


def test_a_hub_id_that_was_downloaded_before_is_found_offline(tiny: Path, tmp_path: Path) -> None:
    in_hub_cache(tmp_path / "hub", "someone/panoramas", tiny)
    assert model_store.find("someone/panoramas").card.kind == "untrained"
    run_to_end(model_store.add("someone/panoramas"))
    assert model_store.find("panoramas").bytes > 0


def test_a_hub_model_without_a_card_is_called_by_its_id(model: Callable[..., Path], tmp_path: Path) -> None:
    path = model()
    (path / model_card.FILE).unlink()
    in_hub_cache(tmp_path / "hub", "someone/argus-360", path)
    card = model_store.find("someone/argus-360").card
    assert (card.name, card.kind) == ("argus-360", "argus")
    run_to_end(model_store.add("someone/argus-360", name="mine"))
    card = model_store.find("mine").card
    assert (card.name, card.kind, card.source) == ("mine", "argus", "someone/argus-360")


def test_a_download_asks_for_safetensors_and_configurations_only(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fnmatch import fnmatch

    asked: dict[str, Any] = {}

    def pretend(repo_id: str, **options: Any) -> str:
        asked.update(options, repo_id=repo_id)
        return str(tiny)

    monkeypatch.setattr("huggingface_hub.snapshot_download", pretend)
    run_to_end(model_store.add("someone/panoramas", download=True))
    assert asked["local_files_only"] is False
    published = [
        "model_index.json", "svd_xt.safetensors", "svd_xt_image_decoder.safetensors", "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.bin", "vae/config.json",
        "image_encoder/model.safetensors", "image_encoder/pytorch_model.bin", "scheduler/scheduler_config.json",
    ]  # fmt: skip
    got = {name for name in published if any(fnmatch(name, pattern) for pattern in asked["allow_patterns"])}
    assert {name for name in published if name.endswith(".bin")}.isdisjoint(got)
    assert "svd_xt.safetensors" not in got
    assert {name for name in published if "/" in name and not name.endswith(".bin")} <= got


@pytest.mark.parametrize(("failure", "says"), [("GatedRepoError", "license"), ("OSError", "could not be downloaded")])
def test_a_failed_download_says_why(monkeypatch: pytest.MonkeyPatch, failure: str, says: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise type(failure, (OSError,), {})("no route to host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(ModelError, match=says) as refused:
        run_to_end(model_store.add("someone/panoramas", download=True))
    assert refused.value.advice


# The command line ---------------------------------------------------------------------------------------------------


def test_the_commands_from_first_to_last(
    tiny: Path, unet_alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list"]) == 0
    assert "no models" in capsys.readouterr().out
    assert main(["models", "make-tiny"]) == 0
    assert "untrained" in capsys.readouterr().out
    assert main(["models", "make-tiny", str(tmp_path / "deep"), "--extra", "depth", "--seed", "7"]) == 0
    assert main(["models", "add", str(tmp_path / "deep")]) == 0
    assert main(["models", "add", str(unet_alone), "--base", "tiny", "--name", "argus", "--kind", "argus"]) == 0
    capsys.readouterr()
    assert main(["models", "list"]) == 0
    listed = capsys.readouterr().out
    assert "tiny: Tiny (untrained)" in listed and "depth:1" in listed and "Argus" in listed
    assert main(["models", "list", "--json"]) == 0
    described = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert set(described) == {"tiny", "deep", "argus"} and not described["tiny"]["card"]["trained"]
    assert main(["models", "check"]) == 0
    assert capsys.readouterr().out.count("whole") == 3


def test_check_finds_numbers_that_are_none(model: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = model()
    tensors = load_file(path / UNET)
    tensors["conv_in.bias"][3] = float("nan")
    (path / UNET).unlink()
    save_file(tensors, path / UNET)
    assert main(["models", "check", str(path), "--quick"]) == 0
    assert main(["models", "check", str(path)]) == 1
    assert "conv_in.bias" in capsys.readouterr().out


def test_errors_go_to_stderr_with_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "add", str(tmp_path / "nowhere")]) == 1
    heard = capsys.readouterr()
    assert heard.err.startswith(("Looking", "Error")) and "nowhere" in heard.err and not heard.out
    assert main(["models", "make-tiny", str(tmp_path)]) == 1
    assert main(["models", "check", "nothing"]) == 1
    with pytest.raises(SystemExit) as wrong:
        main(["models", "paint"])
    assert wrong.value.code == 2


def test_an_unwritable_store_is_explained(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PANTHEON360_MODELS", str(tmp_path / "file" / "store"))
    assert main(["models", "add", str(tiny)]) == 1
    assert main(["models", "make-tiny"]) == 1
    assert capsys.readouterr().err.count("cannot be written") == 2


def test_as_a_process_it_prints_what_it_means_and_nothing_of_the_libraries(store: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-m", "backend", "models", "make-tiny"],
        cwd=ROOT,
        env={**os.environ, "PANTHEON360_MODELS": str(store)},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1 and str(store / "tiny") in done.stdout


def test_help_imports_no_learning_stack() -> None:
    code = (
        "import sys; from backend.__main__ import arguments; arguments().format_help();"
        "sys.exit(str({'torch', 'diffusers', 'transformers', 'numpy'} & set(sys.modules) or '') or 0)"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


def test_cards_of_the_store_can_be_edited_by_hand(tiny: Path, store: Path) -> None:
    run_to_end(model_store.add(str(tiny), name="mine"))
    value = json.loads((store / "mine" / model_card.FILE).read_text())
    (store / "mine" / model_card.FILE).write_text(json.dumps({**value, "guidance": 4.5}))
    assert model_store.find("mine").card.guidance == 4.5


def test_what_downloading_comes_to_is_asked_without_downloading(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    stem = "unet/diffusion_pytorch_model"
    files = {f"{stem}.safetensors": 3 << 30, f"{stem}.fp16.safetensors": 1 << 30}
    files |= {"svd_xt.safetensors": 9 << 30, "model_index.json": 500}

    def info(_api: Any, hub_id: str, *, files_metadata: bool, timeout: float) -> Any:
        assert hub_id == "someone/panoramas" and files_metadata and timeout > 0
        siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in files.items()]
        card = {"license": "other", "license_name": "stability-ai-community"}
        return SimpleNamespace(siblings=siblings, card_data=card, gated="auto")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", info)
    whole = model_store.on_hub("someone/panoramas", online=True)
    assert (whole.here, whole.licence, whole.gated) == (False, "stability-ai-community", True)
    assert whole.bytes == (4 << 30) + 500
    assert model_store.on_hub("someone/panoramas", online=True, half=True).bytes == (1 << 30) + 500
    with pytest.raises(ModelError, match="not on this computer"):
        model_store.on_hub("someone/panoramas", online=False)
    in_hub_cache(tmp_path / "hub", "someone/panoramas", tiny)
    assert model_store.on_hub("someone/panoramas", online=False).here


def test_what_a_check_finds_is_noted_beside_the_model(model: Callable[..., Path], store: Path) -> None:
    source = model()
    run_to_end(model_store.add(str(source), name="mine"))
    state = model_places.read_state(store / "mine")
    assert state is not None and (state.problem, state.bytes) == ("", model_store.find("mine").bytes)
    (source / UNET).unlink()
    with pytest.raises(ModelError):
        run_to_end(model_store.check("mine"))
    state = model_places.read_state(store / "mine")
    assert state is not None and "unet" in state.problem
    with pytest.raises(ModelError):
        run_to_end(model_store.check("nothing"))
    assert not (store / "nothing").exists()


def test_blender_is_told_in_messages_what_is_done_with_models(
    tiny: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*arguments: str) -> list[dict[str, Any]]:
        with open(tmp_path / "said", "wb") as out:
            monkeypatch.setattr(commands, "claim_stdout", out.fileno)
            code = main(["models", *arguments])
        lines = [json.loads(line) for line in (tmp_path / "said").read_text("utf-8").splitlines()]
        assert lines[0]["kind"] == "hello" and code == (lines[-1]["kind"] != "done")
        return lines

    assert said("add", "--json", "--name=mine", "--", str(tiny))[-1]["kind"] == "done"
    assert model_places.read_state(store / "mine") is not None
    assert "Reading weights" in [each.get("phase") for each in said("check", "--json", "--", "mine")]
    refused = said("add", "--json", "--name=mine", "--", str(tiny))[-1]
    assert refused["kind"] == "error" and "already" in refused["text"]
    (absent,) = (each for each in said("check", "--json", "--", "nothing") if each["kind"] == "error")
    assert absent["code"] == "no-model"


def test_blender_asks_for_a_download_by_a_process() -> None:
    from pantheon360_blender.core.jobs import child

    with pytest.raises(BackendError, match="not on this computer"):
        child.answer(Path(sys.executable), "backend", "models", "ask", "--json", "--offline", "--", "a/b", patience=60)
