"""Choosing the form of each layer by timing it."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..multi_image import Boundary, MultiImage
from ._basis_first import BasisFirstConv
from ._dense import DenseConv
from ._fold import FoldedConv, LinearMap, is_linear_map

Configuration = tuple[Any, ...]
REPEATS = 5


@dataclass(frozen=True)
class Tuning:
    """The faster form of each layer of a model, measured; a `form` for `fold`.

    - seconds: for each configuration of a layer, the median time of its dense and of its basis-first form.
    """

    seconds: dict[Configuration, dict[type[FoldedConv], float]]

    def __call__(self, layer: LinearMap) -> FoldedConv:
        """The layer in its faster form. **Raises** `ValueError` for one that was not measured."""
        key = _configuration(layer)
        if key not in self.seconds:
            raise ValueError(f"This tuning knows no layer from {layer.in_type} to {layer.out_type}: `tune` its model.")
        forms = self.seconds[key]
        return min(forms, key=forms.__getitem__)(layer)


def tune(model: eqx.Module, image: MultiImage) -> Tuning:
    """Times both forms of every layer that folds, on the grid on which it runs, in turn, on the default device.

    **Arguments:**

    - model: from images to images.
    - image: what it will take; only its type, shape and boundaries matter.

    **Raises:** what the model raises for the image.
    """
    seen: dict[Configuration, _Call] = {}
    watched = jax.tree.map(
        lambda node: _Watched(node, seen) if is_linear_map(node) else node, model, is_leaf=is_linear_map
    )
    eqx.filter_eval_shape(lambda image: watched(image), image)
    return Tuning({key: _times(call) for key, call in seen.items()})


def _configuration(layer: LinearMap) -> Configuration:
    return (layer.group, layer.in_type, layer.out_type, layer.stencil)


@dataclass(frozen=True)
class _Call:
    """A layer, and the shape, precision and boundaries of an image that it took."""

    layer: LinearMap
    shape: tuple[int, ...]
    dtype: Any
    boundary: tuple[Boundary, ...]

    def programs(self) -> dict[type[FoldedConv], Callable[[], MultiImage]]:
        """Both forms of the layer, compiled, after a first run."""
        forms: list[type[FoldedConv]] = [DenseConv]
        if not self.layer.stencil.transposed:
            forms.append(BasisFirstConv)
        image = MultiImage(jnp.zeros(self.shape, self.dtype), self.layer.in_type, self.boundary)
        run = eqx.filter_jit(_run)
        programs: dict[type[FoldedConv], Callable[[], MultiImage]]
        programs = {form: functools.partial(run, form(self.layer), image) for form in forms}
        for program in programs.values():
            program()
        return programs


class _Watched(eqx.Module):
    """A layer that notes what it takes."""

    layer: LinearMap
    seen: dict[Configuration, _Call] = eqx.field(static=True)

    def __call__(self, image: MultiImage) -> MultiImage:
        call = _Call(self.layer, image.array.shape, image.array.dtype, image.boundary)
        self.seen.setdefault(_configuration(self.layer), call)
        return self.layer(image)


def _times(call: _Call) -> dict[type[FoldedConv], float]:
    programs = call.programs()
    times: dict[type[FoldedConv], list[float]] = {form: [] for form in programs}
    for _ in range(REPEATS):
        for form, program in programs.items():
            start = time.perf_counter()
            program().array.block_until_ready()
            times[form].append(time.perf_counter() - start)
    return {form: float(np.median(measured)) for form, measured in times.items()}


def _run(folded: FoldedConv, image: MultiImage) -> MultiImage:
    return folded(image)
