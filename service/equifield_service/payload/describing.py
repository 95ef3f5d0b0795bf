"""What a refusal shows to a person: cleaned names, what the file has, what the model wants."""

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from equifield.package.manifest import FieldSpec, Manifest

NAME_LENGTH = 80
LIST_LENGTH = 40


def clean(text: object, length: int = NAME_LENGTH) -> str:
    """Text from a file, made safe to print: control and format characters escaped, cut to `length`."""
    shown = str(text)[: length + 1]
    if not shown.isprintable():
        shown = "".join(map(_visible, shown))
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def _visible(character: str) -> str:
    if unicodedata.category(character).startswith("C"):
        return character.encode("unicode_escape").decode("ascii")
    return character


def text(attributes: Mapping[Any, Any], name: str) -> str:
    """An attribute that ought to be text; empty if it is none."""
    value = attributes.get(name)
    return value if isinstance(value, str) else ""


def listing(names: Iterable[object]) -> str:
    """Names for a sentence: quoted, cleaned, and no more of them than a person reads."""
    shown = [f"'{clean(name)}'" for name in names]
    rest = len(shown) - 8
    return ", ".join(shown[:8]) + (f" and {rest} more" if rest > 0 else "") or "none"


def variables_of(variables: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """The variables of a file: name, dimensions and standard name."""
    return [
        {
            "name": clean(name),
            "dimensions": [clean(dimension) for dimension in variable.dims[:8]],
            "standard_name": clean(variable.attrs["standard_name"]) if "standard_name" in variable.attrs else None,
        }
        for name, variable in list(variables.items())[:LIST_LENGTH]
    ]


def wants_of(manifest: Manifest) -> dict[str, Any]:
    """What a model takes: its axes and its input fields with the names under which they are looked for."""
    return {"axes": list(manifest.grid.axes), "fields": [_field(field) for field in manifest.inputs]}


def _field(field: FieldSpec) -> dict[str, Any]:
    return {
        "name": field.name,
        "order": field.order,
        "parity": field.parity,
        "units": field.units,
        "components": [
            {
                "variable": component.variable,
                "axes": list(component.axes),
                "standard_names": list(component.standard_names),
            }
            for component in field.components
        ],
    }
