"""Plans a network: builds, folds and traces it on shapes alone."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
from jaxtyping import PRNGKeyArray

from ..boundary import Boundary
from ..field_type import FieldType
from ..inference import fold, merge
from ..inference._watch import Notes, watch
from ..multi_image import MultiImage
from ._cost import costs, nbytes, peak
from ._find import is_layer
from ._layers import Form, Stages, is_shape, layer_plans, parameters, stored
from ._report import Grid, Memory, Plan

REACH = 32
"""How many pixels from a side that does not work others are tried, up and down."""


@dataclass(frozen=True)
class _Input:
    """The image that a network shall take."""

    field_type: FieldType
    grid: Grid
    boundary: tuple[Boundary, ...]
    batch: int
    dtype: str

    @property
    def array(self) -> jax.ShapeDtypeStruct:
        """The shape of the packed image."""
        shape = (self.batch, *self.grid, self.field_type.size(len(self.grid)))
        return jax.ShapeDtypeStruct(shape, self.dtype)  # type: ignore[no-untyped-call]

    def of(self, array: Any) -> MultiImage:
        """The image that a packed array holds."""
        return MultiImage(array, self.field_type, self.boundary)

    def merged(self, network: eqx.Module) -> eqx.Module | None:
        """The network with its linear layers in a row merged; None if it does not take this image."""
        try:
            merged: eqx.Module = eqx.filter_eval_shape(
                lambda network, array: merge(network, self.of(array)), network, self.array
            )
        except ValueError:
            return None
        return merged

    def trace(self, network: eqx.Module, notes: Notes) -> tuple[Any, Any]:
        """The program of one forward pass, and the image it gives. **Raises** what the network raises."""
        arrays, static = eqx.partition(network, is_shape)

        def forward(arrays: Any, array: Any) -> Any:
            output = watch(eqx.combine(arrays, static), notes, is_layer)(self.of(array))
            if not isinstance(output, MultiImage):
                raise ValueError(f"A network gives a `MultiImage`, but this one gives {type(output).__name__}.")
            return output

        return jax.make_jaxpr(forward, return_shape=True)(arrays, self.array)

    def fits(self, network: eqx.Module, grid: Grid) -> bool:
        """Whether the network takes this image on another grid."""
        try:
            dataclasses.replace(self, grid=grid).trace(network, Notes())
        except ValueError:
            return False
        return True


def plan(
    build: Callable[[PRNGKeyArray], eqx.Module],
    field_type: FieldType,
    *,
    grid: tuple[int, ...],
    boundary: tuple[Boundary, ...],
    batch: int = 1,
    dtype: str = "float32",
    form: Form | None = None,
) -> Plan:
    """What a network will cost on a grid, and what it cannot do, before any of its weights exists.

    Builds the network, merges and folds it as for inference and runs it on shapes alone, so that only the equivariant
    filters are really computed: a network too large for any memory is planned in a moment.

    **Arguments:**

    - build: from a key to a network, any `eqx.Module` from `MultiImage` to `MultiImage`; `lambda key: network` for one
        that exists. What follows `eqx.nn.inference_mode` is planned as in inference.
    - field_type, grid, boundary, batch, dtype: the image that it shall take. In `float64` the weights are too.
    - form: from a layer to its folded form, as `fold` takes it. With what `tune` has measured of the merged network
        the plan says how long each layer takes, on the image that was measured.

    **Returns:** a `Plan`. Where the network cannot be built or refuses the grid, its `problem` says why.

    **Raises:** `ValueError` for a grid without one boundary per axis, or without any pixel, and what `form` raises.
    """
    if len(grid) != len(boundary) or min(*grid, batch) < 1:
        raise ValueError(
            f"`plan` needs one boundary per grid axis and positive sides, but came with grid={grid}, "
            f"boundary={boundary} and batch={batch}."
        )
    image = _Input(field_type, grid, boundary, batch, dtype)
    question = Plan(in_type=str(field_type), grid=grid, boundary=boundary, batch=batch, dtype=dtype)
    with jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext():
        try:
            network = eqx.nn.inference_mode(eqx.filter_eval_shape(build, jr.key(0)))
        except ValueError as error:
            return dataclasses.replace(question, problem=str(error))
        return _planned(network, image, question, form)


def _planned(network: eqx.Module, image: _Input, question: Plan, form: Form | None) -> Plan:
    notes, merged = Notes(), image.merged(network)
    if merged is None:
        merged, form = network, None  # what is not merged, no tuning knows
    folded = eqx.filter_eval_shape(lambda merged: fold(merged, form), merged)
    stages = Stages(network, merged, folded, form)
    known = dataclasses.replace(
        question,
        model=type(network).__name__,
        translation_step=getattr(network, "translation_step", None),
        parameters=parameters(network),
    )
    try:
        program, output = image.trace(folded, notes)
    except ValueError as error:
        return dataclasses.replace(
            known,
            layers=layer_plans(stages, notes, None),
            problem=str(error),
            problem_at=notes.refused[0] if notes.refused else None,
            grids_that_work=_nearby(folded, image),
        )
    spent = costs(program.jaxpr)
    return dataclasses.replace(
        known,
        out_type=str(output.field_type),
        out_grid=output.grid,
        layers=layer_plans(stages, notes, spent),
        multiply_adds=sum(amount for (_, kind), amount in spent.items() if kind == "multiply_adds"),
        elementwise=sum(amount for (_, kind), amount in spent.items() if kind == "elementwise"),
        memory=Memory(
            weights=stored(network),
            folded=stored(folded),
            input=nbytes(program.in_avals[-1]),
            output=nbytes(output.array),
            activations=peak(program.jaxpr),
        ),
    )


def _nearby(network: eqx.Module, image: _Input) -> tuple[Grid, ...]:
    """The next smaller and the next larger grid that the network takes, as far as `REACH` goes.

    What works for a side does not depend on the other sides, so each is tried on a grid of equal sides.
    """
    fits = functools.cache(lambda side: image.fits(network, (side,) * len(image.grid)))
    grids = []
    for step in (-1, 1):
        sides = [range(side, max(0, side + step * (REACH + 1)), step) for side in image.grid]
        nearest = tuple(next(filter(fits, candidates), 0) for candidates in sides)
        if all(nearest) and nearest not in grids and image.fits(network, nearest):
            grids.append(nearest)
    return tuple(grids)
