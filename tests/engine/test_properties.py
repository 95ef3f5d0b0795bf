"""The law over types, sides and boundaries that nobody chose."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equifield import FieldType, Group, MultiImage, Representation, Tensor
from equifield.boundary import BOUNDARIES, Boundary
from equifield.groups import flips, group_named
from equifield.multi_image import random_image
from equifield.nn import Conv, Gated, GroupNorm, Linear, NormActivation, VectorNeuron
from equifield.representations import scalar
from tests.engine.laws import assert_commutes, worst_error

GROUPS = [group_named("B1"), group_named("B2"), group_named("C4"), flips(2)]


@st.composite
def field_types(draw: st.DrawFn) -> FieldType:
    """A scalar, from which gates are made, and up to two tensor types with up to three channels each."""
    tensors: st.SearchStrategy[Representation] = st.builds(Tensor, st.integers(0, 2), st.integers(0, 1))
    return FieldType({scalar: 1}) + FieldType(draw(st.dictionaries(tensors, st.integers(1, 3), min_size=1, max_size=2)))


sides = st.lists(st.integers(3, 6), min_size=2, max_size=2)
walls = st.lists(st.sampled_from(BOUNDARIES), min_size=2, max_size=2)


class Layers(eqx.Module):
    """One layer after another."""

    layers: tuple[Any, ...]

    def __call__(self, image: MultiImage) -> MultiImage:
        for layer in self.layers:
            image = layer(image)
        return image


@pytest.mark.parametrize("examples", [4, pytest.param(20, marks=pytest.mark.soak)])
def test_layers_commute_whatever_they_are_given(examples: int) -> None:
    check = given(st.sampled_from(GROUPS), field_types(), sides, walls)(commute)
    settings(max_examples=examples, deadline=None, derandomize=True, database=None)(check)()


def commute(group: Group, field_type: FieldType, grid: list[int], boundary: list[Boundary]) -> None:
    d, gated = group.dimension, Gated(field_type)
    with jax.enable_x64(True):
        layers = (
            Conv(group, field_type, field_type, key=jr.key(1)),
            GroupNorm(field_type, groups=1),
            VectorNeuron(field_type, key=jr.key(2)),
            Linear(group, field_type, gated.in_type, key=jr.key(3)),
            gated,
            NormActivation(field_type),
        )
        image = random_image(field_type, tuple(boundary[:d]), tuple(grid[:d]), dtype=jnp.float64, key=jr.key(0))
        assert_commutes(eqx.filter_jit(Layers(layers)), image, group, 1e-12)


def test_a_layer_for_a_smaller_group_would_be_noticed() -> None:
    field_type = FieldType.parse("1x vector")
    with jax.enable_x64(True):
        image = random_image(field_type, ("zero", "zero"), (4, 4), dtype=jnp.float64, key=jr.key(0))
        layer = eqx.filter_jit(Conv(flips(2), field_type, field_type, key=jr.key(1)))
        assert worst_error(layer, image, flips(2)) <= 1e-12
        assert worst_error(layer, image, group_named("C4")) > 0.1
