"""Merging linear layers that follow each other changes how many there are and never the function."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

from equifield import FieldType, MultiImage
from equifield.boundary import BOUNDARIES, Boundary
from equifield.groups import Group, group_named
from equifield.inference import Merged, fold, merge, tune
from equifield.models import DilatedResNet, ResNet, SimpleConv, UNet
from equifield.multi_image import random_image
from equifield.nn import Conv, Linear
from equifield.ops import pad
from equifield.package import Component, FieldSpec
from equifield.package._field_model import FieldModel
from tests.engine.laws import assert_commutes

Keys = Callable[[], PRNGKeyArray]
B2, C4 = group_named("B2"), group_named("C4")
FIELDS = FieldType.parse("2x scalar + 1x pseudoscalar + 1x vector")
TENSORS = FieldType.parse("1x vector + 1x tensor(2)")
TURNED = FieldType.parse("1x scalar + 1x vector + 1x regular(C4)")
FLOW = FieldType.parse("1x scalar + 1x vector")
SOME: tuple[Boundary, ...] = ("periodic", "zero")
run = eqx.filter_jit(lambda model, image: model(image).array)


class Chain(eqx.Module):
    """Layers one after another."""

    layers: tuple[Any, ...]

    def __call__(self, image: MultiImage) -> Any:
        for layer in self.layers:
            image = layer(image)
        return image


def chain(*layers: Any) -> Chain:
    """With constants that are not zero, as after training."""
    return Chain(tuple(jax.tree.map(lambda leaf: leaf + 0.1, layer) for layer in layers))


def conv(key: PRNGKeyArray, fields: FieldType = FIELDS, group: Group = B2, **options: Any) -> Conv:
    return Conv(group, fields, fields, **options, key=key)


def point(key: PRNGKeyArray, fields: FieldType = FIELDS, group: Group = B2, *, use_bias: bool = True) -> Linear:
    return Linear(group, fields, fields, use_bias=use_bias, key=key)


def free(key: PRNGKeyArray) -> Linear:
    """A map of single pixels that adds no constant."""
    return point(key, use_bias=False)


def linear_maps(model: eqx.Module) -> list[Conv | Linear]:
    nodes = jax.tree.leaves(model, is_leaf=lambda node: isinstance(node, Conv | Linear))
    return [node for node in nodes if isinstance(node, Conv | Linear)]


CHAINS: dict[str, Callable[[Keys], Chain]] = {
    "behind a convolution": lambda k: chain(conv(k()), point(k())),
    "behind a strided one": lambda k: chain(conv(k(), kernel_size=4, stride=2), point(k())),
    "behind a transposed one": lambda k: chain(conv(k(), kernel_size=2, stride=2, transposed=True), point(k())),
    "of tensors": lambda k: chain(conv(k(), TENSORS), point(k(), TENSORS)),
    "before a dilated one": lambda k: chain(free(k()), conv(k(), dilation=2)),
    "before a strided one": lambda k: chain(free(k()), conv(k(), kernel_size=2, stride=2)),
    "before a transposed one": lambda k: chain(free(k()), conv(k(), kernel_size=4, stride=2, transposed=True)),
    "of single pixels alone": lambda k: chain(point(k()), point(k()), point(k())),
    "on both sides": lambda k: chain(free(k()), free(k()), conv(k()), point(k()), free(k())),
}
PARTS = ("behind a convolution", "of tensors", "before a strided one", "of single pixels alone")
"""What the others hold, too."""


@pytest.mark.parametrize(
    "build",
    [pytest.param(chain, marks=[pytest.mark.soak] if name in PARTS else []) for name, chain in CHAINS.items()],
    ids=CHAINS,
)
def test_a_row_of_linear_layers_is_one_layer_for_every_boundary(build: Callable[[Keys], Chain], getkey: Keys) -> None:
    with jax.enable_x64(True):
        model = build(getkey)
        images = [
            random_image(model.layers[0].in_type, boundary, (6, 8), dtype=jnp.float64, key=getkey())
            for boundary in (SOME, BOUNDARIES[2:4], ("mirror", "mirror"))
        ]
        merged = merge(model, images[0])
        *gone, kept = merged.layers
        assert all(isinstance(layer, Merged) and layer.into == f"layers[{len(gone)}]" for layer in gone)
        assert linear_maps(merged) == [kept] and type(kept) is (
            Conv if any(isinstance(layer, Conv) for layer in model.layers) else Linear
        )
        for image in images:
            expected = run(model, image)
            np.testing.assert_allclose(run(merged, image), expected, atol=1e-12 * abs(expected).max())
        assert not np.allclose(run(build(getkey), image), expected), "other weights, other values"


def test_a_merged_layer_commutes_with_the_group_that_the_layers_share(getkey: Keys) -> None:
    with jax.enable_x64(True):
        regular = chain(conv(getkey(), TURNED, C4), point(getkey(), TURNED, C4))
        mixed = chain(point(getkey(), FLOW, B2, use_bias=False), conv(getkey(), FLOW, C4), point(getkey(), FLOW, B2))
        for model, fields in ((regular, TURNED), (mixed, FLOW)):
            image = random_image(fields, SOME, (4, 4), dtype=jnp.float64, key=getkey())
            merged = merge(model, image)
            (layer,) = linear_maps(merged)
            assert layer.group == C4
            np.testing.assert_allclose(run(merged, image), run(model, image), atol=1e-12)
            assert_commutes(eqx.filter_jit(merged), image, C4, 1e-12)
        with pytest.raises(AssertionError, match="relative error"):
            assert_commutes(eqx.filter_jit(merged), image, B2, 1e-12)


class Fork(Chain):
    """Uses twice what the first layer gives."""

    def __call__(self, image: MultiImage) -> MultiImage:
        first, second = self.layers
        image = first(image) + second(first(image))
        return image


class Skip(Chain):
    """Adds what the first layer gives to what the second makes of it."""

    def __call__(self, image: MultiImage) -> MultiImage:
        image = self.layers[0](image)
        image = image + self.layers[1](image)
        return image


class Both(Chain):
    """Gives what both layers give."""

    def __call__(self, image: MultiImage) -> tuple[MultiImage, MultiImage]:
        image = self.layers[0](image)
        return image, self.layers[1](image)


class Torn(Chain):
    """Says of the image between the layers that it continues otherwise."""

    def __call__(self, image: MultiImage) -> MultiImage:
        image = self.layers[0](image)
        image = self.layers[1](MultiImage(image.array, image.field_type, ("replicate", "replicate")))
        return image


class Decayed(Chain):
    """Looks at the weights of a layer that it calls."""

    def __call__(self, image: MultiImage) -> MultiImage:
        image = super().__call__(image)
        return image * jnp.sum(self.layers[0].filters.kernel() ** 2)


class Bent(Chain):
    """Squares what lies between the layers."""

    def __call__(self, image: MultiImage) -> MultiImage:
        image = self.layers[0](image)
        image = self.layers[1](image.with_array(image.array**2))
        return image


NARROW = FieldType.parse("1x scalar")
TENSOR, PSEUDO = FieldType.parse("1x tensor(2)"), FieldType.parse("1x pseudoscalar")
WIDE = FieldType.parse("16x scalar")
CONTROLS: dict[str, tuple[FieldType, Callable[[Keys], Chain]]] = {
    "a constant before a kernel with neighbours": (FLOW, lambda k: chain(point(k(), FLOW), conv(k(), FLOW))),
    "neighbours of neighbours": (FLOW, lambda k: chain(conv(k(), FLOW), conv(k(), FLOW))),
    "turns alone before a kernel with neighbours": (
        FLOW,
        lambda k: chain(point(k(), FLOW, C4, use_bias=False), conv(k(), FLOW, C4)),
    ),
    "a bottleneck": (
        WIDE,
        lambda k: chain(Linear(B2, WIDE, NARROW, key=k()), Linear(B2, NARROW, WIDE, key=k())),
    ),
    "a product that is zero": (
        NARROW,
        lambda k: chain(Linear(B2, NARROW, TENSOR, key=k()), Linear(B2, TENSOR, PSEUDO, key=k())),
    ),
    "a nonlinearity between": (FLOW, lambda k: Bent(chain(conv(k(), FLOW), point(k(), FLOW)).layers)),
    "another boundary between": (FLOW, lambda k: Torn(chain(conv(k(), FLOW), point(k(), FLOW)).layers)),
    "called twice": (FLOW, lambda k: Fork(chain(conv(k(), FLOW), point(k(), FLOW)).layers)),
    "used twice": (FLOW, lambda k: Skip(chain(conv(k(), FLOW), point(k(), FLOW)).layers)),
    "given too": (FLOW, lambda k: Both(chain(conv(k(), FLOW), point(k(), FLOW)).layers)),
    "asked for its weights": (FLOW, lambda k: Decayed(chain(conv(k(), FLOW), point(k(), FLOW)).layers)),
}


@pytest.mark.parametrize(("fields", "build"), CONTROLS.values(), ids=CONTROLS)
def test_what_no_single_layer_does_as_cheaply_stays_as_it_is(
    fields: FieldType, build: Callable[[Keys], Chain], getkey: Keys
) -> None:
    model = build(getkey)
    merged = merge(model, random_image(fields, SOME, (6, 8), key=getkey()))
    assert eqx.tree_equal(merged, model) and len(linear_maps(merged)) == 2


def test_a_map_that_reflections_change_does_not_commute_with_a_wall(getkey: Keys) -> None:
    """Why maps for a group without reflections stay; one for a group with them is the control."""
    image = random_image(FLOW, ("mirror", "mirror"), (4, 4), key=getkey())
    for group, commutes in ((C4, False), (B2, True)):
        layer = point(getkey(), FLOW, group, use_bias=False)
        extended = image.with_array(pad(image, (1, 1), (1, 1)))
        assert np.allclose(pad(layer(image), (1, 1), (1, 1)), layer(extended).array, atol=1e-5) == commutes


class Loop(Chain):
    """Runs its layers again and again, and in a program of their own."""

    def __call__(self, image: MultiImage) -> MultiImage:
        step = eqx.filter_jit(super().__call__)
        image, _ = jax.lax.scan(lambda x, _: (step(x), None), image, length=3)
        return image


def test_layers_are_found_inside_of_loops_and_programs(getkey: Keys) -> None:
    model = Loop(chain(conv(getkey(), FLOW), point(getkey(), FLOW)).layers)
    image = random_image(FLOW, SOME, (4, 4), key=getkey())
    merged = merge(model, image)
    assert len(linear_maps(merged)) == 1
    expected = run(model, image)
    np.testing.assert_allclose(run(merged, image), expected, atol=1e-5 * abs(expected).max())


PRESSURE = FieldSpec(name="pressure", order=0, components=(Component(variable="p"),), mean=1e3, scale=20.0)
WIND = FieldSpec(
    name="wind",
    order=1,
    components=(Component(axes=("x",), variable="u"), Component(axes=("y",), variable="v")),
    scale=4.0,
)
SMALL: dict[Any, dict[str, Any]] = {
    ResNet: {"num_blocks": 1, "num_convs": 1, "products": True},
    DilatedResNet: {"num_blocks": 1},
    SimpleConv: {"num_convs": 2},
    UNet: {"num_downsamples": 1, "num_convs": 1},
}


LONG = (DilatedResNet, SimpleConv)


@pytest.mark.parametrize(
    "architecture", [pytest.param(a, id=a.__name__, marks=[pytest.mark.soak] if a in LONG else []) for a in SMALL]
)
def test_the_first_and_the_last_layer_hold_the_scales(architecture: Any, getkey: Keys) -> None:
    with jax.enable_x64(True):
        fresh: Any = architecture(B2, FLOW, FLOW, hidden=FLOW, **SMALL[architecture], key=getkey())
        network = jax.tree.map(lambda leaf: leaf + 0.1, fresh)
        model = FieldModel(network, (WIND, PRESSURE), (WIND, PRESSURE), ndim=2)
        normal = random_image(FLOW, SOME, (16, 16), dtype=jnp.float64, key=getkey())
        mean, scale = jnp.array([1e3, 0.0, 0.0]), jnp.array([20.0, 4.0, 4.0])
        image = normal.with_array(normal.array * scale + mean)
        expected = run(network, normal) * scale + mean
        merged: Any = merge(model, image)
        assert len(linear_maps(merged)) == len(linear_maps(model)) - 2
        np.testing.assert_allclose(run(fold(merged), image), expected, atol=1e-9)
        first, last = merged.network.lift, merged.scale_out
        np.testing.assert_allclose(first.kernel() * scale[:, None], network.lift.kernel(), atol=1e-12)
        assert isinstance(merged.scale_in, Merged) and merged.scale_in.into == "network.lift"
        assert last.stencil.sizes == (3, 3) and last.bias()[0] > 900


def test_the_means_of_what_is_taken_are_subtracted_first_because_sums_of_large_numbers_cancel(getkey: Keys) -> None:
    """In float32, for 1000 hPa that vary by 5 hPa. The control merges the mean too, into the constant of the layer."""
    fields = FieldType.parse("1x scalar")
    taken, given = (
        PRESSURE.model_copy(update={"mean": mean, "scale": scale}) for mean, scale in ((1e5, 500.0), (0.0, 1.0))
    )
    network = SimpleConv(B2, fields, fields, hidden=fields, num_convs=1, use_bias=False, key=getkey())
    normal = random_image(fields, ("periodic", "periodic"), (32, 32), key=getkey())
    image = normal.with_array(normal.array * 500 + 1e5)
    merged = merge(FieldModel(network, (taken,), (given,), ndim=2), image)
    (layer,) = linear_maps(merged)
    with jax.enable_x64(True):
        exact = (np.asarray(image.array, np.float64) - 1e5) / 500
        expected = np.asarray(run(network, image.with_array(jnp.asarray(exact))))
    kernel = layer.filters.kernel()
    cancelled = run(layer, image) - 1e5 * jnp.sum(kernel, (0, 1, 2))
    for computed, bound in ((run(merged, image), True), (cancelled, False)):
        error = np.linalg.norm(np.asarray(computed) - expected) / np.linalg.norm(expected)
        assert (error <= 5e-7) == bound


def test_a_merged_model_is_tuned_like_any_other(getkey: Keys) -> None:
    model = chain(conv(getkey(), FLOW), point(getkey(), FLOW))
    image = random_image(FLOW, SOME, (4, 4), key=getkey())
    merged = merge(model, image)
    tuning = tune(merged, image)
    np.testing.assert_allclose(run(fold(merged, tuning), image), run(model, image), atol=1e-5)
    with pytest.raises(ValueError, match="the merged one if it is merged"):
        tune(model, image)(chain(conv(getkey(), TURNED, C4)).layers[0])
