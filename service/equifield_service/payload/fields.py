"""Finds the variables behind each field that a model wants. Ambiguity is an error, never a guess."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from equifield.conventions.tensors import FileField, fields_in, stacked_dimensions, words
from equifield.package.manifest import FieldSpec, Manifest

from ..domain.errors import InvalidQuery, SchemaMismatch, VariableAmbiguous, VariableMissing, VariableUnusable
from .describing import clean, listing, text
from .reading import File
from .schema import check_declared, check_stacked

Directions = tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """Where one field of the model lies in a file.

    Attributes:
        field: What the model wants.
        variables: The variable of each component. A stacked field has one variable, under `()`.
        component_dims: The dimensions that count a stacked field's components; empty when it is not stacked.
        directions: The dimensions that index 0, 1, ... of `component_dims` points along; empty: the axes.
        keyed_by_dimension: Whether `variables` of a split field is keyed by dimensions, not the model's axes.
    """

    field: FieldSpec
    variables: Mapping[Directions, str]
    component_dims: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()
    keyed_by_dimension: bool = False


def find_fields(file: File, manifest: Manifest, mapping: Mapping[str, str]) -> list[Found]:
    """Finds every input field: by the request's map, the schema's attributes, names, then standard names.

    Raises:
        VariableMissing, VariableAmbiguous: No or more than one reading of a field; or one variable for two.
        SchemaMismatch: What was found says of itself that it is something else.
        InvalidQuery: The map names nothing of the model.
    """
    _check_map(manifest, mapping)
    found = [_find(file, manifest, field, mapping) for field in manifest.inputs]
    used: dict[str, str] = {}
    for place in found:
        for variable in place.variables.values():
            check_declared(variable, file.variables[variable], place.field)
            if variable in used:
                raise VariableAmbiguous(
                    f"Variable '{clean(variable)}' would be read twice, for '{used[variable]}' and "
                    f"'{place.field.name}'. Say which variable is which: map={_example(place.field)}."
                )
            used[variable] = place.field.name
    return found


def _check_map(manifest: Manifest, mapping: Mapping[str, str]) -> None:
    known = [field.name for field in manifest.inputs]
    known += [component.variable for field in manifest.inputs for component in field.components]
    strangers = [name for name in mapping if name not in known]
    if strangers:
        raise InvalidQuery(
            f"`map` names {listing(strangers)}, which the model '{manifest.name}' does not take. "
            f"It takes {listing(dict.fromkeys(known))}."
        )


def _find(file: File, manifest: Manifest, field: FieldSpec, mapping: Mapping[str, str]) -> Found:
    rules: list[Callable[[], Found | None]] = [
        lambda: _by_map(file, field, mapping, len(manifest.grid.axes)),
        lambda: _by_schema(file, manifest, field),
        lambda: _by_name(file, field),
        lambda: _by_standard_name(file, field),
    ]
    ambiguity: VariableAmbiguous | None = None
    for rule in rules:
        try:
            place = rule()
        except VariableAmbiguous as error:  # a later rule may still be clear
            ambiguity = ambiguity or error
        else:
            if place is not None:
                return place
    if ambiguity is not None:
        raise ambiguity
    raise VariableMissing(
        f"The file has no field '{field.name}': neither variables named {listing(_names(field))}, nor their "
        f"standard names, nor the attribute tensor_field='{field.name}'. Say which variables to read: "
        f"map={_example(field)}."
    )


def _by_map(file: File, field: FieldSpec, mapping: Mapping[str, str], ndim: int) -> Found | None:
    if field.order > 0 and field.name in mapping:
        variable = _existing(file, mapping[field.name], f"map={field.name}:")
        stacked = file.variables[variable]
        dims = stacked_dimensions(stacked, field.order)
        check_stacked(stacked, dims, field.order, ndim, variable)
        return Found(field, {(): variable}, dims, words(stacked.attrs, "tensor_axes"))
    wanted = {component.variable: component.axes for component in field.components}
    if field.order == 0 and field.name in mapping:
        return Found(field, {(): _existing(file, mapping[field.name], f"map={field.name}:")})
    if not any(name in mapping for name in wanted):
        return None
    return Found(
        field,
        {axes: _existing(file, mapping.get(name, name), f"map={name}:") for name, axes in wanted.items()},
    )


def _existing(file: File, name: str, asked: str) -> str:
    if name in file.unreadable:
        raise VariableUnusable(
            f"Variable '{clean(name)}' has the type '{file.unreadable[name]}', which the model cannot take. "
            f"Convert it to floats and send the file again."
        )
    if name not in file.variables:
        raise VariableMissing(
            f"`{asked}{clean(name)}` names a variable that the file does not have. It has {listing(file.variables)}."
        )
    return name


def _by_schema(file: File, manifest: Manifest, field: FieldSpec) -> Found | None:
    candidates = fields_in(file.variables)
    named = [candidate for candidate in candidates if candidate.name == field.name]
    if not named:
        taken = {other.name for other in manifest.inputs}
        kind = (field.order, field.parity)
        named = [c for c in candidates if (c.order, c.parity) == kind and c.name not in taken]
    if len(named) > 1:
        raise VariableAmbiguous(
            f"The file has {len(named)} fields of order {field.order} and parity {field.parity}: "
            f"{listing(candidate.name for candidate in named)}. Say which is '{field.name}': "
            f"map={_example(field)}."
        )
    return _from_schema(field, named[0], len(manifest.grid.axes)) if named else None


def _from_schema(field: FieldSpec, candidate: FileField, ndim: int) -> Found:
    components = dict(candidate.components)
    expected = 1 if candidate.component_dims else ndim**field.order
    if len(components) < len(candidate.components) or len(components) != expected:
        raise SchemaMismatch(
            f"Field '{clean(candidate.name)}' of the file has the components "
            f"{listing(' '.join(directions) or name for directions, name in candidate.components)}, "
            f"but '{field.name}' has {expected}, one along each axis. "
            f"Correct the attributes tensor_field and tensor_axis."
        )
    return Found(field, components, candidate.component_dims, candidate.directions, keyed_by_dimension=True)


def _by_name(file: File, field: FieldSpec) -> Found | None:
    unusable = [name for name in _names(field) if name in file.unreadable]
    if unusable:
        _existing(file, unusable[0], "")
    if not all(name in file.variables for name in _names(field)):
        return None
    return _same_field(file, Found(field, {part.axes: part.variable for part in field.components}))


def _by_standard_name(file: File, field: FieldSpec) -> Found | None:
    variables: dict[Directions, str] = {}
    for component in field.components:
        matches = [
            str(name)
            for name, variable in file.variables.items()
            if text(variable.attrs, "standard_name") in component.standard_names
        ]
        if len(matches) > 1:
            raise VariableAmbiguous(
                f"'{component.variable}' of field '{field.name}' could be any of {listing(matches)}: they "
                f"have the standard name '{clean(file.variables[matches[0]].attrs['standard_name'])}'. "
                f"Say which: map={_example(field)}."
            )
        if not matches:
            return None
        variables[component.axes] = matches[0]
    return _same_field(file, Found(field, variables))


def _same_field(file: File, place: Found) -> Found:
    """Refuses components that say they belong to different fields."""
    owners = {name: file.variables[name].attrs.get("tensor_field") for name in place.variables.values()}
    if len(set(map(str, owners.values()))) > 1:
        shown = ", ".join(f"'{clean(name)}' to '{clean(owner)}'" for name, owner in owners.items())
        raise SchemaMismatch(
            f"The components of field '{place.field.name}' say by tensor_field that they belong to "
            f"different fields: {shown}. Correct the attribute, or say which variables to read: "
            f"map={_example(place.field)}."
        )
    return place


def _names(field: FieldSpec) -> Iterable[str]:
    return [component.variable for component in field.components]


def _example(field: FieldSpec) -> str:
    return ",".join(f"{name}:NAME_IN_FILE" for name in _names(field))
