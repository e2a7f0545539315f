"""Settings that a person chooses, each written once: default, what may be chosen, and the words that explain it.

A dataclass of settings is the table: each of its fields is made by one of the functions here. From the table come the
add-on's properties, `--set`, the command line's help and the backend's validator.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ..json_values import is_integer, is_number, is_unicode

Kind = Literal["int", "float", "bool", "text", "choice", "loras"]


@dataclass(frozen=True)
class Choice:
    """One of several values. value: in a job. label, description: for people. identifier: in a .blend."""

    value: str
    label: str
    description: str
    identifier: str


@dataclass(frozen=True)
class Setting:
    """What can be chosen, and how it is explained.

    kind: of its value in a job. default: None stands for the model's own.
    least, most: of a number; usual: the most that a slider shows. unset: the number below `least` that stands for None
    in a .blend, whose numbers are never empty.
    digits: decimals that are shown.
    """

    kind: Kind
    label: str
    description: str
    default: Any
    least: float = 0
    most: float = 0
    usual: float = 0
    unset: float | None = None
    digits: int = 2
    choices: tuple[Choice, ...] = ()

    def error(self, value: Any) -> str | None:
        """What is wrong with a JSON value, as the rest of a sentence about it; None if nothing is."""
        if value is None and self.unset is not None:
            return None
        return _ERRORS[self.kind](self, value)

    @property
    def values(self) -> str:
        """What may be chosen, in short: "1 to 1000", "quarter or random"."""
        if self.kind in ("int", "float"):
            return f"{self.least:g} to {self.most:g}" + (", or null" if self.unset is not None else "")
        if self.kind == "choice":
            return ", ".join(choice.value for choice in self.choices)
        return {"bool": "true or false", "text": "a text", "loras": LORAS_FORM}[self.kind]


def integer(
    label: str, description: str, default: int | None, least: int, most: int, usual: int, unset: int | None = None
) -> Any:
    """A field for a whole number."""
    return _field(Setting("int", label, description, default, least, most, usual, unset))


def number(
    label: str,
    description: str,
    default: float | None,
    least: float,
    most: float,
    usual: float,
    unset: float | None = None,
    digits: int = 2,
) -> Any:
    """A field for a number."""
    return _field(Setting("float", label, description, default, least, most, usual, unset, digits))


def switch(label: str, description: str, default: bool) -> Any:
    """A field that is on or off."""
    return _field(Setting("bool", label, description, default))


def text(label: str, description: str, default: str = "") -> Any:
    """A field for a text."""
    return _field(Setting("text", label, description, default))


def loras(label: str, description: str) -> Any:
    """A field for LoRAs: [{"file": path of a safetensors file, "strength": number}]."""
    return _field(Setting("loras", label, description, []))


def choice(
    label: str, description: str, *choices: tuple[str, str, str] | tuple[str, str, str, str], default: str = ""
) -> Any:
    """A field for one of several values; the first is the default, if none is named.

    choices: (value in a job, label, description), and the identifier in a .blend if it is not the value in upper case.
    Their order is what a .blend stores: new ones go to the end.
    """
    offered = tuple(Choice(*entry) if len(entry) == 4 else Choice(*entry, entry[0].upper()) for entry in choices)
    return _field(Setting("choice", label, description, default or offered[0].value, choices=offered))


def table(options: type) -> dict[str, Setting]:
    """The settings of a dataclass, by name, in their order."""
    return {field.name: field.metadata["setting"] for field in dataclasses.fields(options)}


def _field(setting: Setting) -> Any:
    if isinstance(setting.default, list):
        return dataclasses.field(default_factory=list, metadata={"setting": setting})
    return dataclasses.field(default=setting.default, metadata={"setting": setting})


STRONGEST_LORA = 100.0
LORAS_FORM = 'a list of {"file": PATH, "strength": NUMBER}'


def _integer_error(setting: Setting, value: Any) -> str | None:
    fits = is_integer(value) and setting.least <= value <= setting.most
    return None if fits else f"is not a whole number from {setting.least:g} to {setting.most:g}"


def _number_error(setting: Setting, value: Any) -> str | None:
    fits = is_number(value) and setting.least <= value <= setting.most
    return None if fits else f"is not a number from {setting.least:g} to {setting.most:g}"


def _switch_error(_setting: Setting, value: Any) -> str | None:
    return None if isinstance(value, bool) else "is neither true nor false"


def _text_error(_setting: Setting, value: Any) -> str | None:
    return None if isinstance(value, str) and is_unicode(value) else "is not a text"


def _choice_error(setting: Setting, value: Any) -> str | None:
    values = [choice.value for choice in setting.choices]
    return None if value in values else f"is not one of: {', '.join(values)}"


def _loras_error(_setting: Setting, value: Any) -> str | None:
    fits = isinstance(value, list) and all(
        isinstance(lora, dict)
        and lora.keys() == {"file", "strength"}
        and isinstance(lora["file"], str)
        and is_unicode(lora["file"])
        and lora["file"]
        and is_number(lora["strength"])
        and abs(lora["strength"]) <= STRONGEST_LORA
        for lora in value
    )
    return None if fits else f"is not {LORAS_FORM}"


_ERRORS: dict[Kind, Callable[[Setting, Any], str | None]] = {
    "int": _integer_error,
    "float": _number_error,
    "bool": _switch_error,
    "text": _text_error,
    "choice": _choice_error,
    "loras": _loras_error,
}
