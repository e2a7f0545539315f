"""Long jobs: one generator, driven by a blocking loop or by a modal operator."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

House = Callable[[str], ModuleType]


@pytest.fixture
def jobs(house: House, blend: Any) -> Iterator[ModuleType]:
    module = house("scene.app.jobs")
    yield module
    module.end_running("the test is over")


@pytest.fixture
def progress(house: House) -> ModuleType:
    return house("core.progress")


def counting(progress: ModuleType, total: int, events: list[str]) -> Generator[Any, None, str]:
    """Counts to total; notes how it ends."""
    try:
        for step in range(total):
            yield progress.Progress("Counting", step, total)
        events.append("finished")
        return "the result"
    finally:
        events.append("closed")


def test_blocking_returns_the_result_and_reports_every_step(jobs: ModuleType, progress: ModuleType) -> None:
    steps: list[int] = []
    assert jobs.run_blocking(counting(progress, 5, []), lambda step: steps.append(step.step)) == "the result"
    assert steps == [0, 1, 2, 3, 4]


def test_blocking_closes_the_job_when_it_is_interrupted(jobs: ModuleType, progress: ModuleType) -> None:
    events: list[str] = []

    def interrupted(step: Any) -> None:
        if step.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jobs.run_blocking(counting(progress, 5, events), interrupted)
    assert events == ["closed"]


def test_blocking_raises_what_the_job_raises(jobs: ModuleType, house: House, progress: ModuleType) -> None:
    def failing() -> Generator[Any, None, None]:
        yield progress.Progress("x")
        raise house("core.errors").CacheError("There is no cache.")

    with pytest.raises(house("core.errors").CacheError):
        jobs.run_blocking(failing())


@pytest.fixture
def operator(jobs: ModuleType, house: House, progress: ModuleType) -> Iterator[Any]:
    """A registered operator whose job, result and failures a test decides."""
    import bpy

    class PANTHEON360_OT_test_job(house("operators.base").JobOperator):  # noqa: N801
        """Runs a job for a test"""

        bl_idname = "pantheon360.test_job"
        bl_label = "Test Job"
        stage = "geometry"
        failure: Any = None
        late_failure: Any = None
        warnings: tuple[str, ...] = ()
        delivered: list[Any] = []

        def job(self, context: Any) -> Generator[Any, None, str]:
            yield progress.Progress("Testing", 0, 2)
            for text in type(self).warnings:
                yield progress.Progress("Testing", 0, 2, warning=text)
            if type(self).failure:
                raise type(self).failure
            yield progress.Progress("Testing", 1, 2)
            return "the result"

        def finished(self, context: Any, result: Any) -> None:
            if type(self).late_failure:
                raise type(self).late_failure
            type(self).delivered.append(result)

    bpy.utils.register_class(PANTHEON360_OT_test_job)
    yield PANTHEON360_OT_test_job
    bpy.utils.unregister_class(PANTHEON360_OT_test_job)


def test_a_script_gets_the_result_of_an_operator(operator: Any) -> None:
    import bpy

    assert bpy.ops.pantheon360.test_job() == {"FINISHED"}
    assert bpy.ops.pantheon360.test_job("INVOKE_DEFAULT") == {"FINISHED"}, "there is no interface: it blocks"
    assert operator.delivered == ["the result"] * 2


def test_an_error_of_the_job_or_of_its_delivery_is_reported(operator: Any, house: House) -> None:
    import bpy

    error = house("core.errors").CacheError("There is no cache.", advice="Project the captures first.")
    for place in ("failure", "late_failure"):
        setattr(operator, place, error)
        with pytest.raises(RuntimeError, match=r"There is no cache\. Project the captures first\."):
            bpy.ops.pantheon360.test_job()
        setattr(operator, place, None)
    assert operator.delivered == []


@pytest.mark.parametrize("place", ["failure", "late_failure"])
def test_a_fault_of_ours_is_an_error_that_names_its_log(
    operator: Any, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    import bpy

    monkeypatch.setattr(house("core.person_folder"), "path", lambda: tmp_path)
    setattr(operator, place, ZeroDivisionError("the innermost reason"))
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*ZeroDivisionError: the innermost reason"):
        bpy.ops.pantheon360.test_job()
    monkeypatch.delenv(house("core.unexpected").VARIABLE)
    with pytest.raises(RuntimeError, match=r"Test Job failed unexpectedly: ZeroDivisionError.*errors\.log") as caught:
        bpy.ops.pantheon360.test_job()
    assert "Traceback" not in str(caught.value) and "Traceback" in (tmp_path / "errors.log").read_text()


@pytest.mark.parametrize("place", ["failure", "late_failure"])
def test_a_failure_stays_for_its_stage_with_its_repair_until_it_is_done(
    operator: Any, house: House, place: str, tmp_path: Path
) -> None:
    import bpy

    def told() -> Any:
        return house("scene.background.outcomes").of(bpy.context.scene, "geometry")

    (tmp_path / "more.log").write_text("more")
    error = house("core.errors").RenderError(
        "It has no camera.", advice="Make one.", repair="pantheon360.set_path_ends", log=tmp_path / "more.log"
    )
    setattr(operator, place, error)
    operator.warnings = ("It is dark.",)
    with pytest.raises(RuntimeError):
        bpy.ops.pantheon360.test_job()
    outcome = told()
    assert (outcome.label, outcome.error) == ("Test Job", "It has no camera. Make one.")
    assert (outcome.repair, outcome.warnings) == ("pantheon360.set_path_ends", ("It is dark.",))
    assert outcome.text == "It has no camera. Make one.\nIt is dark." and outcome.log == tmp_path / "more.log"
    setattr(operator, place, None)
    assert bpy.ops.pantheon360.test_job() == {"FINISHED"}
    assert (told().error, told().warnings) == ("", ("It is dark.",)), "what was done, but with a warning"
    operator.warnings = ()
    assert bpy.ops.pantheon360.test_job() == {"FINISHED"} and told() is None


@pytest.mark.parametrize("fails", [False, True])
def test_every_warning_of_a_job_is_reported_once(operator: Any, house: House, capfd: Any, fails: bool) -> None:
    import bpy

    operator.warnings = ("The model is untrained.", "Memory ran out.", "The model is untrained.")
    if fails:
        operator.failure = house("core.errors").CacheError("There is no cache.")
        with pytest.raises(RuntimeError):
            bpy.ops.pantheon360.test_job()
    else:
        assert bpy.ops.pantheon360.test_job() == {"FINISHED"}
    told = "".join(capfd.readouterr())
    assert [told.count(text) for text in ("The model is untrained.", "Memory ran out.")] == [1, 1]


def test_what_an_operator_tells_does_nothing_to_the_terminal(operator: Any, house: House, capfd: Any) -> None:
    import bpy

    operator.warnings = ("Hall\x1b[2J\x07 is dark.\nInfo: All is well",)
    operator.failure = house("core.errors").CacheError("There is no \x9b2J cache.")
    with pytest.raises(RuntimeError, match=r"There is no \\x9b2J cache"):
        bpy.ops.pantheon360.test_job()
    told = "".join(capfd.readouterr())
    assert r"Warning: Hall\x1b[2J\x07 is dark." in told and "\n    Info: All is well" in told
    assert not set(told) & {"\x1b", "\x07", "\x9b"}


def test_only_a_button_gets_a_popup(house: House, blend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here stands an operator as a window would run it: this Blender has none, so that nothing pops up."""
    import bpy

    errors, kinds, popups, reports = house("operators.errors"), house("core.errors"), [], []

    def popup_menu(draw: Any, title: str, icon: str) -> None:
        popups.append(title)

    context = SimpleNamespace(window=object(), window_manager=SimpleNamespace(popup_menu=popup_menu))

    def report(error: Any, invoked: bool = True, background: bool = False) -> list[Any]:
        popups.clear()
        reports.clear()
        operator = SimpleNamespace(
            options=SimpleNamespace(is_invoke=invoked),
            stage="path",
            bl_label="Test Job",
            report=lambda level, text: reports.append((*level, text)),
        )
        monkeypatch.setattr(errors, "bpy", SimpleNamespace(app=SimpleNamespace(background=background), ops=bpy.ops))
        errors.report(operator, context, error)
        return popups

    repaired = kinds.RenderError("It has no camera.", repair="pantheon360.set_path_ends")
    assert report(repaired) == ["Test Job Failed"] and reports == [("WARNING", "It has no camera.")]
    assert report(repaired, background=True) == [] and reports == [("ERROR", "It has no camera.")]
    assert report(repaired, invoked=False) == [] and reports == [("ERROR", "It has no camera.")]
    assert report(kinds.RenderError("It broke.")) == ["Test Job Failed"] and reports == [("WARNING", "It broke.")]


@pytest.fixture
def context() -> Any:
    import bpy

    if bpy.context.window is None:
        manager = bpy.context.window_manager
        if not manager.windows:
            pytest.skip("this Blender has no window, not even a hidden one")
        with bpy.context.temp_override(window=manager.windows[0]):
            yield bpy.context
    else:
        yield bpy.context


def test_a_session_shows_progress_and_leaves_nothing(jobs: ModuleType, progress: ModuleType, context: Any) -> None:
    events: list[str] = []
    session = jobs.Session(context, counting(progress, 10**9, events), "Count")
    shown = context.window_manager.pantheon360
    assert session.tick().step > 0
    assert shown.running and shown.phase == "Counting"
    session.end("the test wants it")
    assert events == ["closed"] and not shown.running and shown.phase == "" and shown.progress == 0
    session.end("again")
    assert jobs.running() == ""


def test_a_session_notes_every_warning_of_a_tick(jobs: ModuleType, progress: ModuleType, context: Any) -> None:
    def warning() -> Generator[Any, None, None]:
        for step in range(20):
            yield progress.Progress("Painting", step, 20, warning=f"Warning {step % 2}")
        yield progress.Progress("Painting", 20, 20, waiting=True)

    session = jobs.Session(context, warning(), "Paint")
    session.tick()
    assert session.notices.warnings == ["Warning 0", "Warning 1"]
    assert context.window_manager.pantheon360.warnings == "Warning 0\nWarning 1"
    session.end("the test wants it")
    assert context.window_manager.pantheon360.warnings == ""


def test_while_a_job_runs_the_others_say_why_they_cannot(
    operator: Any, jobs: ModuleType, progress: ModuleType, context: Any
) -> None:
    import bpy

    session = jobs.Session(context, counting(progress, 10**9, []), "Count")
    with pytest.raises(RuntimeError, match="Count is still running"):
        bpy.ops.pantheon360.test_job()
    session.end("the test wants it")
    assert bpy.ops.pantheon360.test_job() == {"FINISHED"}


def test_a_tick_ends_where_the_job_waits(jobs: ModuleType, progress: ModuleType, context: Any) -> None:
    def waiting() -> Generator[Any, None, None]:
        for step in range(3):
            yield progress.Progress("Waiting", step, 3, waiting=True)

    session = jobs.Session(context, waiting(), "Wait")
    assert [session.tick().step for _ in range(3)] == [0, 1, 2]
    with pytest.raises(StopIteration):
        session.tick()


@pytest.mark.parametrize("ending", ["unregister", "load"])
def test_whatever_replaces_the_data_ends_the_job_first(
    ending: str, operator: Any, jobs: ModuleType, progress: ModuleType, context: Any
) -> None:
    import bpy

    events: list[str] = []
    jobs.Session(context, counting(progress, 10**9, events), "Count", operator).tick()
    if ending == "unregister":
        bpy.utils.unregister_class(operator)
        bpy.utils.register_class(operator)
    else:
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert events == ["closed"]


def test_no_handler_outlives_the_operators(operator: Any, jobs: ModuleType, progress: ModuleType, context: Any) -> None:
    import bpy

    def handlers() -> list[Any]:
        return [handler for handler in bpy.app.handlers.load_pre if handler.__module__ == jobs.__name__]

    jobs.Session(context, counting(progress, 10**9, []), "Count", operator).tick()
    assert len(handlers()) == 1
    bpy.utils.unregister_class(operator)
    assert handlers() == []
    bpy.utils.register_class(operator)
