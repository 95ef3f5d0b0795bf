"""Folding changes the form of a model and never its function."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

from equifield import FieldType, MultiImage
from equifield.boundary import Boundary
from equifield.groups import flips, group_named
from equifield.inference import BasisFirstConv, DenseConv, FeaturesFirst, cheaper, fold, tune
from equifield.interop.ginjax import MeanBias, SignedVectorNeuron
from equifield.models import ResNet, UNet
from equifield.multi_image import random_image
from equifield.nn import Conv, GroupAverage, Linear, TensorProduct, VectorNeuron
from equifield.nn._arrangement import AbstractArranged
from tests.engine.examples import EXAMPLES

Keys = Callable[[], PRNGKeyArray]
B2 = group_named("B2")
FIELDS = FieldType.parse("2x scalar + 1x vector")
GIVEN = FieldType.parse("1x scalar + 1x pseudoscalar + 2x vector")
MANY = FieldType.parse("24x scalar + 24x vector")
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
run = eqx.filter_jit(lambda model, image: model(image))

Settings = tuple[str, str, tuple[int, ...], tuple[Boundary, ...], dict[str, Any]]
SETTINGS: dict[str, Settings] = {
    "plane": ("B2", "2x scalar + 1x tensor(2)", (4, 5), ("zero", "replicate"), {}),
    "regular": ("C4", "1x vector + 1x regular(C4)", (4, 5), ("zero", "periodic"), {"use_bias": False}),
    "mirror": ("C4", "2x vector + 1x pseudovector", (5, 4), ("reflect", "periodic"), {}),
    "unequal": (
        "flips2",
        "2x scalar + 1x pseudovector",
        (7, 6),
        ("mirror", "replicate"),
        {"kernel_size": (3, 2), "stride": (1, 2), "dilation": (2, 1)},
    ),
    "even": ("B1", "2x scalar + 1x vector", (6,), ("zero",), {"kernel_size": 4}),
    "strided": ("B2", "1x scalar + 2x vector", (6, 8), TORUS, {"kernel_size": 2, "stride": 2}),
    "space": ("B3", "1x scalar + 2x vector", (3, 3, 4), ("periodic", "zero", "mirror"), {}),
    "axial": ("O", "1x vector + 1x pseudovector", (3, 3, 3), ("periodic",) * 3, {}),
}


def trained(layer: Any) -> Any:
    """With constants that are not zero."""
    return jax.tree.map(lambda leaf: leaf + 0.1, layer)


@pytest.mark.parametrize("form", [DenseConv, BasisFirstConv], ids=lambda form: form.__name__)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_both_forms_of_a_convolution_are_equal_to_it(form: Any, settings: Settings, getkey: Keys) -> None:
    name, fields, grid, boundary, options = settings
    group, in_type = group_named(name), FieldType.parse(fields)
    out_type = in_type + FieldType.parse("1x vector")
    with jax.enable_x64(True):
        layer = trained(Conv(group, in_type, out_type, **options, key=getkey()))
        image = random_image(in_type, boundary, grid, batch=(2,), dtype=jnp.float64, key=getkey())
        expected = run(layer, image)
        folded = run(form(layer), image)
        assert (folded.field_type, folded.boundary) == (expected.field_type, expected.boundary)
        np.testing.assert_allclose(folded.array, expected.array, atol=1e-12)
        assert not np.allclose(run(form(trained(layer)), image).array, expected.array), "other weights, other values"


@pytest.mark.parametrize("form", [DenseConv, BasisFirstConv], ids=lambda form: form.__name__)
def test_both_forms_of_a_linear_map_are_equal_to_it(form: Any, getkey: Keys) -> None:
    layer = trained(Linear(B2, GIVEN, GIVEN + FIELDS, key=getkey()))
    image = random_image(GIVEN, TORUS, (4, 4), key=getkey())
    np.testing.assert_allclose(run(form(layer), image).array, run(layer, image).array, atol=1e-5)


def test_a_transposed_convolution_has_the_dense_form_alone(getkey: Keys) -> None:
    layer = trained(Conv(B2, FIELDS, FIELDS, kernel_size=2, stride=2, transposed=True, key=getkey()))
    image = random_image(FIELDS, TORUS, (3, 4), key=getkey())
    assert isinstance(cheaper(layer), DenseConv)
    np.testing.assert_allclose(run(cheaper(layer), image).array, run(layer, image).array, atol=1e-5)
    with pytest.raises(ValueError, match="Use `DenseConv`"):
        BasisFirstConv(layer)


@pytest.mark.parametrize("kind", [TensorProduct, GroupAverage], ids=lambda kind: kind.__name__)
def test_a_layer_that_holds_linear_maps_is_equal_after_folding(kind: type, getkey: Keys) -> None:
    group = B2
    layer = EXAMPLES[kind].build(group, getkey())
    image = random_image(EXAMPLES[kind].field_type(group), ("periodic", "mirror"), (4, 4), batch=(2,), key=getkey())
    folded = fold(layer, BasisFirstConv)
    held = jax.tree.leaves(folded, is_leaf=lambda node: isinstance(node, Conv | Linear))
    assert not any(isinstance(node, Conv | Linear) for node in held)
    np.testing.assert_allclose(run(folded, image).array, run(layer, image).array, atol=2e-5)


@pytest.mark.parametrize("architecture", [ResNet, UNet], ids=lambda kind: kind.__name__)
def test_a_network_is_equal_after_folding(architecture: Any, getkey: Keys) -> None:
    sizes: dict[Any, dict[str, int]] = {ResNet: {"num_blocks": 1}, UNet: {"num_downsamples": 1, "num_convs": 1}}
    network = architecture(B2, FIELDS, FIELDS, hidden=MANY, **sizes[architecture], key=getkey())
    image = random_image(FIELDS, ("periodic", "zero"), (8, 4), batch=(2,), key=getkey())
    folded = fold(network)
    forms = {type(node) for node in jax.tree.leaves(folded, is_leaf=is_folded) if is_folded(node)}
    assert forms == ({DenseConv, BasisFirstConv} if architecture is UNet else {BasisFirstConv})
    np.testing.assert_allclose(run(folded, image).array, run(network, image).array, atol=2e-5)


def is_folded(node: object) -> bool:
    return isinstance(node, DenseConv | BasisFirstConv)


@pytest.mark.parametrize("stride", [1, 2])
def test_sums_formed_in_blocks_of_the_grid_are_those_of_the_whole_grid(stride: int, getkey: Keys) -> None:
    fields = FieldType.parse("24x scalar + 24x vector")
    layer = trained(Conv(B2, fields, fields, kernel_size=3 if stride == 1 else 4, stride=stride, key=getkey()))
    folded = fold(layer, BasisFirstConv)
    for grid, several in (((46, 32 * stride), True), ((6, 8), False)):
        image = random_image(fields, ("mirror", "periodic"), grid, key=getkey())
        products = str(jax.make_jaxpr(lambda image: folded(image).array)(image)).count("dot_general")
        assert (products > 3) == several, "three components, one product each in every block"
        np.testing.assert_allclose(run(folded, image).array, run(layer, image).array, atol=2e-5)


@pytest.mark.parametrize("form", [DenseConv, BasisFirstConv], ids=lambda form: form.__name__)
def test_a_folded_layer_takes_no_samples_at_all_as_the_layer_does(form: Any, getkey: Keys) -> None:
    layer = Conv(B2, FIELDS, FIELDS, key=getkey())
    image = random_image(FIELDS, TORUS, (4, 4), batch=(0,), key=getkey())
    assert run(form(layer), image).array.shape == run(layer, image).array.shape == (0, 4, 4, 4)


@pytest.mark.soak
def test_blocks_are_equal_under_vmap_and_have_gradients(getkey: Keys) -> None:
    fields = FieldType.parse("24x scalar + 24x vector")
    folded = fold(Conv(B2, fields, fields, key=getkey()), BasisFirstConv)
    images = random_image(fields, TORUS, (46, 32), batch=(2,), key=getkey())
    mapped = jax.jit(jax.vmap(lambda image: folded(image)))
    np.testing.assert_allclose(mapped(images).array, run(folded, images).array, atol=1e-5)
    slope = jax.grad(lambda array: jnp.sum(folded(images.with_array(array)).array))(images.array)
    assert slope.shape == images.array.shape and bool(jnp.isfinite(slope).all())


def test_few_filters_make_the_basis_first_form_cheaper(getkey: Keys) -> None:
    kinds = [FieldType.parse(text) for text in ("8x scalar + 8x vector", "8x regular(B2)")]
    forms = [type(cheaper(Conv(B2, fields, fields, key=getkey()))) for fields in kinds]
    assert forms == [BasisFirstConv, DenseConv], "regular fields have as many filters as a kernel has entries"


@pytest.mark.soak
def test_tuning_takes_what_is_faster_for_every_layer(getkey: Keys) -> None:
    network = UNet(B2, FIELDS, FIELDS, hidden=FIELDS, num_downsamples=1, num_convs=1, key=getkey())
    image = random_image(FIELDS, TORUS, (8, 8), key=getkey())
    tuning = tune(network, image)
    layers: list[Conv | Linear] = [network.lift, *network.refiners, *network.skips, network.project]
    for layer in layers:
        seconds = tuning.seconds[layer.group, layer.in_type, layer.out_type, layer.stencil]
        assert len(seconds) == (1 if layer.stencil.transposed else 2)
        assert seconds[type(tuning(layer))] == min(seconds.values())
    np.testing.assert_allclose(run(fold(network, tuning), image).array, run(network, image).array, atol=2e-5)
    with pytest.raises(ValueError, match="knows no layer"):
        tuning(Conv(flips(2), FIELDS, FIELDS, key=getkey()))


ARRANGED: dict[type, Any] = {
    VectorNeuron: lambda fields, key: VectorNeuron(fields, key=key),
    SignedVectorNeuron: lambda fields, key: SignedVectorNeuron(fields, activation="gelu", key=key),
    MeanBias: lambda fields, key: MeanBias(fields),
}


def test_every_layer_with_two_arrangements_is_tested_here() -> None:
    assert set(AbstractArranged.__subclasses__()) == set(ARRANGED)


@pytest.mark.parametrize("kind", ARRANGED, ids=lambda kind: kind.__name__)
def test_a_layer_is_equal_with_its_features_first(kind: type, getkey: Keys) -> None:
    fields = GIVEN + FieldType.parse("2x tensor(2) + 1x tensor(3)")
    with jax.enable_x64(True):
        layer = trained(ARRANGED[kind](fields, getkey()))
        image = random_image(fields, ("zero", "periodic"), (4, 5), batch=(2, 3), dtype=jnp.float64, key=getkey())
        folded, expected = fold(layer), run(layer, image)
        assert isinstance(folded, FeaturesFirst)
        np.testing.assert_allclose(run(folded, image).array, expected.array, atol=1e-12)
        assert not np.allclose(run(fold(trained(layer)), image).array, expected.array), "other weights, other values"
    rough = run(folded, image.with_array(image.array.astype("bfloat16")))
    assert rough.array.dtype == "bfloat16" and rough.field_type == fields


def test_a_folded_layer_refuses_fields_that_it_was_not_built_for(getkey: Keys) -> None:
    layer = Conv(B2, FIELDS, FIELDS, key=getkey())
    for form in (DenseConv, BasisFirstConv):
        with pytest.raises(ValueError, match="was built for"):
            form(layer)(random_image(GIVEN, TORUS, (4, 4), key=jr.key(0)))


@pytest.mark.parametrize("form", [DenseConv, BasisFirstConv], ids=lambda form: form.__name__)
def test_a_folded_layer_keeps_the_precision(form: Any, getkey: Keys) -> None:
    layer = trained(Conv(B2, FIELDS, FIELDS, key=getkey()))
    image: MultiImage = random_image(FIELDS, TORUS, (4, 4), key=getkey())
    exact, rough = run(layer, image).array, run(form(layer), image.with_array(image.array.astype("bfloat16"))).array
    assert rough.dtype == "bfloat16"
    assert np.linalg.norm(np.asarray(rough, np.float32) - exact) <= 3e-2 * np.linalg.norm(exact)
