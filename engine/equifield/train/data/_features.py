"""Where in a dataset each feature of a packed image lies, and how it comes to the units of its field."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import xarray as xr

from ...conventions.tensors import (
    FileField,
    contradictions,
    counts_components,
    fields_in,
    stacked_dimensions,
    words,
)
from ...conventions.units import Conversion, reason, to_field
from ...package.manifest import Component, FieldSpec, GridSpec, packed_components
from ._axes import find_axes

Directions = tuple[str, ...]
Features = dict[Directions, "Feature"]


@dataclass(frozen=True)
class Feature:
    """One component of a field: a variable that is not read yet, and a place along its component dimensions."""

    variable: xr.DataArray
    index: Mapping[str, int]
    conversion: Conversion

    @property
    def component(self) -> xr.DataArray:
        """The component alone, in the units of the file."""
        return self.variable.isel(self.index)


@dataclass(frozen=True)
class Finder:
    """Finds features in a dataset.

    - variables: the variable of a component, or of a stacked field, as the user names it.
    - axes: the dimension of an axis, as the user names it.
    """

    dataset: xr.Dataset
    grid: GridSpec
    variables: Mapping[str, str]
    axes: Mapping[str, str]

    def find(self, fields: Sequence[FieldSpec]) -> tuple[Feature, ...]:
        """Each packed feature: as the user names it, else by the file's attributes, else by name or standard name.

        **Raises** `ValueError` where there is none, or more than one; for attributes that contradict the field; and
        for units that cannot be converted to those of the field.
        """
        found = {field.name: self._find(field) for field in fields}
        return tuple(found[field.name][part.axes] for field, part in packed_components(tuple(fields), self.grid.axes))

    def _find(self, field: FieldSpec) -> Features:
        components = {component.variable for component in field.components}
        if field.name in self.variables and field.name not in components:
            variable = self.dataset[self._existing(self.variables[field.name])]
            dims = stacked_dimensions(variable, field.order)
            return self._stacked(field, variable, dims, words(variable.attrs, "tensor_axes"))
        declared = next((each for each in fields_in(self.dataset.data_vars) if each.name == field.name), None)
        if declared is not None and not components & self.variables.keys():
            return self._declared(field, declared)
        return {part.axes: self._named(field, part) for part in field.components}

    def _declared(self, field: FieldSpec, declared: FileField) -> Features:
        """A field that the file describes by its attributes."""
        variables = {name: self.dataset[name] for _, name in declared.components}
        if declared.component_dims and len(variables) == 1:
            (variable,) = variables.values()
            return self._stacked(field, variable, declared.component_dims, declared.directions)
        found = {
            self._along(directions, variables[name]): _feature(field, variables[name])
            for directions, name in declared.components
        }
        wanted = {part.axes for part in field.components}
        if found.keys() != wanted or len(found) < len(variables):
            raise ValueError(
                f"By their attributes tensor_field and tensor_axis the variables {list(variables)} are components of "
                f"'{field.name}' along {sorted(found)}, but it has one along each of {sorted(wanted)}. Correct the "
                f"attributes, or say which variables to read: `variables`."
            )
        return found

    def _stacked(
        self, field: FieldSpec, variable: xr.DataArray, dims: tuple[str, ...], directions: Directions
    ) -> Features:
        """The components of a variable that counts them along dimensions of its own."""
        ndim = len(self.grid.axes)
        if not counts_components(variable, dims, field.order, ndim):
            raise ValueError(
                f"Variable '{variable.name}' has the dimensions {dict(variable.sizes)}, but field '{field.name}' of "
                f"order {field.order} on {ndim} axes needs {field.order} of length {ndim} that count its components: "
                f"the last ones, or those that its attribute tensor_dims names."
            )
        order = self._along(directions, variable.isel(dict.fromkeys(dims, 0))) or self.grid.axes
        if sorted(order) != sorted(self.grid.axes):
            raise ValueError(
                f"By its attribute tensor_axes the components of variable '{variable.name}' point along {directions}, "
                f"but the axes of the grid are {self.grid.axes}. Correct it, or name the dimensions: `axes`."
            )
        places = {part.axes: map(order.index, part.axes) for part in field.components}
        return {axes: _feature(field, variable, dict(zip(dims, place, strict=True))) for axes, place in places.items()}

    def _along(self, directions: Directions, variable: xr.DataArray) -> Directions:
        """Directions that are dimensions of a variable, as axes of the grid."""
        axis_of = {dim: axis for axis, dim in find_axes(variable, self.grid, self.axes).items()} if directions else {}
        return tuple(axis_of.get(direction, direction) for direction in directions)

    def _named(self, field: FieldSpec, component: Component) -> Feature:
        """The component of a field that has a variable of its own."""
        variable = self.dataset[self._variable(component)]
        if (said := self._along(words(variable.attrs, "tensor_axis"), variable)) not in ((), component.axes):
            raise ValueError(
                f"By its attribute tensor_axis variable '{variable.name}' points along {said}, but as a component of "
                f"'{field.name}' along {component.axes}. Correct it, or say which variables to read: `variables`."
            )
        return _feature(field, variable)

    def _variable(self, component: Component) -> Hashable:
        name = self.variables.get(component.variable, component.variable)
        if name in self.dataset.data_vars:
            return name
        for standard_name in component.standard_names:
            named = [
                name for name, v in self.dataset.data_vars.items() if v.attrs.get("standard_name") == standard_name
            ]
            if len(named) == 1:
                return named[0]
            if named:
                raise ValueError(f"The variables {named} all have the standard name {standard_name!r}: leave in one.")
        return self._existing(name, f" or has one of the standard names {list(component.standard_names)}")

    def _existing(self, name: str, otherwise: str = "") -> str:
        if name not in self.dataset.data_vars:
            raise ValueError(
                f"No variable is named '{name}'{otherwise}. The file has "
                f"{[str(name) for name in self.dataset.data_vars]}."
            )
        return name


def _feature(field: FieldSpec, variable: xr.DataArray, index: Mapping[str, int] | None = None) -> Feature:
    for attribute, wanted in contradictions(variable.attrs, field).items():
        raise ValueError(
            f"Variable '{variable.name}' says {attribute}={variable.attrs[attribute]}, but field '{field.name}' has "
            f"{wanted}. Correct the attribute, or say which variables to read: `variables`."
        )
    units = str(variable.attrs.get("units", "")).strip()
    conversion = to_field(units, field)
    if conversion is None:
        raise ValueError(
            f"Variable '{variable.name}' has the units {units!r}, which {reason(units)} to those of field "
            f"'{field.name}', {field.units!r}. Write the units of the file into the field, or convert the file."
        )
    return Feature(variable, index or {}, conversion)
