"""Models: add one from a folder or, after a question, from the hub; check one."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..pantheon360_blender.core.errors import ModelError
from ..pantheon360_blender.core.progress import Job
from ..pantheon360_blender.scene.app import preferences
from ..pantheon360_blender.scene.app.disabled_reason import DisabledReason
from ..pantheon360_blender.scene.shot import model_jobs
from ..pantheon360_blender.scene.translation import translated
from . import base
from .base import JobOperator

_KINDS = (
    ("AUTO", "As It Says", "What its files tell"),
    ("ARGUS", "Argus", "Trained for panoramas with black holes"),
    ("SVD", "Stable Video Diffusion", "For plain, short video"),
    ("SVD_XT", "Stable Video Diffusion XT", "For plain video"),
)


class _ModelJob(JobOperator):
    """What the backend does with a model."""

    stage = "models"
    changes_data = False

    @classmethod
    def disabled_reason(cls, _context: Any) -> DisabledReason | None:
        if preferences.backend_python() is not None:
            return None
        return DisabledReason(
            "Install the engine's part Diffusion first: it reads models", "pantheon360.install_engine"
        )


class _Adding(_ModelJob):
    """Where a model comes from, and how it is added."""

    left = "No model was added; what was downloaded is kept."

    origin: EnumProperty(  # type: ignore[valid-type]
        name="From",
        description="Where the model is",
        items=(
            ("FOLDER", "Folder", "A diffusers folder with safetensors on this computer"),
            ("HUB", "Hugging Face Hub", "It is downloaded once size and license have been agreed to"),
        ),
        default="FOLDER",
        options={"SKIP_SAVE"},
    )
    folder: StringProperty(  # type: ignore[valid-type]
        name="Folder", description="The model's folder: unet, vae, image_encoder", default="", subtype="DIR_PATH"
    )
    hub_id: StringProperty(  # type: ignore[valid-type]
        name="Id", description="As the hub has it: OWNER/MODEL", default=""
    )
    model_name: StringProperty(  # type: ignore[valid-type]
        name="Name", description="What to call it; empty is the folder's name", default=""
    )
    base_model: StringProperty(  # type: ignore[valid-type]
        name="Base",
        description="For a U-Net alone, as Argus: the model that it was tuned from, by name, folder or hub id",
        default="",
    )
    kind: EnumProperty(  # type: ignore[valid-type]
        name="Kind", description="What it is, where nothing in it tells", items=_KINDS, default="AUTO"
    )
    license: StringProperty(  # type: ignore[valid-type]
        name="License", description="Of its weights, if nothing in it tells", default=""
    )
    copy: BoolProperty(  # type: ignore[valid-type]
        name="Keep a Copy",
        description="Copy the weights to the models of this computer; off remembers where they lie",
        default=False,
    )
    half: BoolProperty(  # type: ignore[valid-type]
        name="Half Precision", description="Download weights of half precision only: half as large", default=False
    )

    def source(self) -> model_jobs.Source:
        """What was chosen. Raises ModelError if nothing was."""
        place = bpy.path.abspath(self.folder.strip()) if self.origin == "FOLDER" else self.hub_id.strip()
        if not place:
            raise ModelError("No model is named.", advice="Choose its folder, or give its id on the hub.")
        kind = "" if self.kind == "AUTO" else self.kind.lower().replace("_", "-")
        name, licence = self.model_name.strip(), self.license.strip()
        return model_jobs.Source(place, self.base_model.strip(), name, kind, licence, self.copy, self.half)

    def finished(self, _context: Any, _result: Any) -> None:
        self.tell("INFO", "The model was added and is whole")


class PANTHEON360_OT_add_model(_Adding):
    """Add a model that paints, from a folder of this computer or from the Hugging Face hub"""

    bl_idname = "pantheon360.add_model"
    bl_label = "Add Model"

    def invoke(self, context: Any, _event: bpy.types.Event) -> set[Any]:
        return context.window_manager.invoke_props_dialog(  # type: ignore[no-any-return]
            self, width=base.DIALOG, confirm_text="Add" if self.origin == "FOLDER" else "Ask"
        )

    def draw(self, _context: Any) -> None:
        layout: Any = self.layout
        layout.use_property_split = True
        layout.prop(self, "origin", expand=True)
        hub = self.origin == "HUB"
        layout.prop(self, "hub_id" if hub else "folder", placeholder="OWNER/MODEL" if hub else "")
        layout.prop(self, "half" if hub else "copy")
        layout.separator()
        layout.prop(self, "model_name", placeholder="As it is called")
        layout.prop(self, "base_model", placeholder="For a U-Net alone")
        layout.prop(self, "kind")
        layout.prop(self, "license", placeholder="As it says")
        if hub and not preferences.is_online():
            base.dialog_text(layout, _OFFLINE, icon="INTERNET_OFFLINE")

    def execute(self, context: Any) -> set[Any]:
        return self.start(context)

    def job(self, _context: Any) -> Job[Any]:
        source = self.source()
        if source.hub_ids:
            return model_jobs.ask(source, online=preferences.is_online())
        return model_jobs.add(source, download=False)

    def finished(self, context: Any, result: Any) -> None:
        if result is None:
            super().finished(context, result)
            return
        if not self.while_working:
            raise ModelError(_told(result), advice="Call download_model to agree to that and to add it.")
        agreed = {name: getattr(self, name) for name in _Adding.__annotations__}
        bpy.ops.pantheon360.download_model("INVOKE_DEFAULT", **agreed, told=_told(result))  # type: ignore[attr-defined]


class PANTHEON360_OT_download_model(_Adding):
    """Download a model of the hub, whose size and license have been agreed to, and add it"""

    bl_idname = "pantheon360.download_model"
    bl_label = "Download Model"
    bl_options = {"INTERNAL"}
    told: StringProperty(name="Told", default="", options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]

    def invoke(self, context: Any, _event: bpy.types.Event) -> set[Any]:
        return context.window_manager.invoke_props_dialog(  # type: ignore[no-any-return]
            self, width=base.DIALOG, title="Download This Model?", confirm_text="Agree and Download"
        )

    def draw(self, _context: Any) -> None:
        layout: Any = self.layout
        for text in self.told.splitlines():
            base.dialog_text(layout, text, icon="IMPORT")
        layout.separator()
        layout.label(text="You are bound by the license; Pantheon360 is not a party to it.", icon="INFO")

    def execute(self, context: Any) -> set[Any]:
        return self.start(context)

    def job(self, _context: Any) -> Job[Any]:
        return model_jobs.add(self.source(), download=preferences.is_online())


class PANTHEON360_OT_check_model(_ModelJob):
    """Check this model: its files, its shapes, and that every number in it is one"""

    bl_idname = "pantheon360.check_model"
    bl_label = "Check Model"
    bl_options = {"INTERNAL"}
    model: StringProperty(name="Model", options={"HIDDEN", "SKIP_SAVE"})  # type: ignore[valid-type]

    def job(self, _context: Any) -> Job[None]:
        return model_jobs.check(self.model)

    def finished(self, _context: Any, _result: None) -> None:
        self.tell("INFO", translated("{model} is whole", model=self.model))


_OFFLINE = (
    "Blender may not use the network: what was downloaded before is found, nothing else. "
    "Preferences > System > Allow Online Access changes that."
)


def _told(found: list[model_jobs.Download]) -> str:
    """What is asked, a line a model."""
    return "\n".join(translated(each.text) for each in found)


CLASSES = (PANTHEON360_OT_add_model, PANTHEON360_OT_download_model, PANTHEON360_OT_check_model)

register, unregister = base.registration(*CLASSES)
