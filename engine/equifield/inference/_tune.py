"""Choosing the form of each layer by timing it."""

import functools
import time
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..multi_image import MultiImage
from ._fold import FoldedConv, LinearMap, estimates, is_linear_map
from ._watch import Notes, Outline, layers_of, watch

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
        forms = self.measured(layer)
        return min(forms, key=forms.__getitem__)(layer)

    def measured(self, layer: LinearMap) -> dict[type[FoldedConv], float]:
        """The time of each form of a layer. **Raises** `ValueError` for a layer that was not measured."""
        configuration = _configuration(layer)
        if configuration not in self.seconds:
            raise ValueError(
                f"This tuning knows no layer from {layer.in_type} to {layer.out_type}: `tune` the model that is "
                f"folded, which is the merged one if it is merged."
            )
        return self.seconds[configuration]


def tune(model: eqx.Module, image: MultiImage) -> Tuning:
    """Times both forms of every layer that folds, on the grid of its first call, in turn, on the default device.

    **Arguments:**

    - model: from images to images.
    - image: what it will take; only its type, shape and boundaries matter.

    **Raises:** what the model raises for the image.
    """
    notes = Notes()
    watched = watch(model, notes, is_linear_map)
    eqx.filter_eval_shape(lambda image: watched(image), image)
    layers = layers_of(model, is_linear_map)
    calls: dict[Configuration, tuple[LinearMap, Outline]] = {}
    for place, call in notes.calls.items():
        calls.setdefault(_configuration(layers[place]), (layers[place], call.taken))
    return Tuning({configuration: _times(*call) for configuration, call in calls.items()})


def _configuration(layer: LinearMap) -> Configuration:
    return (layer.group, layer.in_type, layer.out_type, layer.stencil)


def _times(layer: LinearMap, taken: Outline) -> dict[type[FoldedConv], float]:
    """The median time of each form of a layer, the forms in turn, after a first run."""
    image = MultiImage(jnp.zeros(taken.shape, taken.dtype), taken.field_type, taken.boundary)
    run = eqx.filter_jit(_run)
    programs = {form: functools.partial(run, form(layer), image) for form in estimates(layer)}
    times: dict[type[FoldedConv], list[float]] = {form: [] for form in programs}
    for program in programs.values():
        program().array.block_until_ready()
    for _ in range(REPEATS):
        for form, program in programs.items():
            start = time.perf_counter()
            program().array.block_until_ready()
            times[form].append(time.perf_counter() - start)
    return {form: float(np.median(measured)) for form, measured in times.items()}


def _run(folded: FoldedConv, image: MultiImage) -> MultiImage:
    return folded(image)
