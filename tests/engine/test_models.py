"""The law of every architecture, and its equal forms."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from jaxtyping import PRNGKeyArray

import equifield.models
from equifield import FieldType, Group, MultiImage, Regular
from equifield.architectures import ARCHITECTURES, build_model
from equifield.groups import SignedPermutation, flips, group_named, hyperoctahedral
from equifield.inference import compile_model, fold
from equifield.models import (
    AbstractNetwork,
    AnyGrid,
    Climate1D,
    DilatedResNet,
    Interpolation,
    LastStep,
    PlainDilatedResNet,
    PlainResNet,
    PlainSimpleConv,
    PlainSuperResolution,
    PlainUNet,
    Residual,
    ResNet,
    SimpleConv,
    SuperResolution,
    TensorSymmetries,
    UNet,
    zonal_type,
)
from equifield.multi_image import Boundary, random_image
from equifield.nn import MaxNormPool, Upsample
from equifield.ops import act, concatenate, pad
from equifield.representations import Tensor, pseudoscalar, scalar, vector
from equifield.rollout import model_input
from tests.engine.laws import alike, numpy_act, stacked

Keys = Callable[[], PRNGKeyArray]
Transform = Callable[[MultiImage], MultiImage]

FIELDS = FieldType.parse("1x scalar + 1x vector")
HIDDEN = FieldType.parse("3x scalar + 3x vector")
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
GROUPS = [group_named(name) for name in ("B1", "B2", "C4", "B3")]
GRIDS = {1: (16,), 2: (8, 8), 3: (4, 4, 4)}
B2 = hyperoctahedral(2)
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
SMALL: dict[Any, dict[str, Any]] = {
    ResNet: {"num_blocks": 2, "num_convs": 1},
    DilatedResNet: {"num_blocks": 1},
    SimpleConv: {"num_convs": 3, "products": True},
    SuperResolution: {"num_blocks": 1, "num_convs": 1},
    UNet: {"num_downsamples": 1, "num_convs": 1},
}
TWINS: dict[Any, Any] = {
    ResNet: PlainResNet,
    DilatedResNet: PlainDilatedResNet,
    SimpleConv: PlainSimpleConv,
    SuperResolution: PlainSuperResolution,
    UNet: PlainUNet,
}

PAIRS = [(kind, group) for kind in SMALL for group in GROUPS if kind is UNet or group.name in ("B2", "B3")]
LAWS = [pytest.param(*pair, marks=[pytest.mark.soak] if pair[1].name == "B3" else []) for pair in PAIRS]
"""A UNet has every kind of layer: the others need not be tried for every group, and one network is tried in space."""
DOUBLE = [pytest.param(*pair, marks=[pytest.mark.soak] if pair != (UNet, GROUPS[-1]) else []) for pair in PAIRS]

every_architecture = pytest.mark.parametrize("architecture", SMALL, ids=lambda kind: kind.__name__)
run = eqx.filter_jit(lambda network, image: network(image))
gradient = eqx.filter_jit(eqx.filter_grad(lambda both: jnp.sum(both[0](both[1]).array ** 2)))


def small(architecture: Any, group: Group, key: PRNGKeyArray) -> Any:
    """A small network; those of one architecture and group share one compiled program."""
    return architecture(group, FIELDS, FIELDS, hidden=HIDDEN, **SMALL[architecture], key=key)


def kinds(image: MultiImage, group: Group) -> MultiImage:
    """An image, its symmetric part, and a uniform scalar without wind: in these, what symmetry forbids stays zero."""
    symmetric = jnp.mean(jnp.stack([numpy_act(g, image).array for g in group]), axis=0)
    uniform = jnp.zeros_like(image.array).at[..., 0].set(0.7)
    return stacked([image, image.with_array(symmetric), image.with_array(uniform)])


def moved(shift: tuple[int, ...], image: MultiImage, *, grid: tuple[int, ...] | None = None) -> MultiImage:
    """The image moved by so many pixels, of its own grid or of a coarser one."""
    finer = [fine // side for fine, side in zip(image.grid, grid or image.grid, strict=True)]
    return image.with_array(jnp.asarray(np.roll(image.array, np.multiply(shift, finer), image.grid_axes)))


def transforms(network: AbstractNetwork, image: MultiImage, group: Group) -> list[list[Transform]]:
    """Every element of the group, and a step along every periodic axis, collected by the grids they give."""
    collected: list[list[Transform]]
    collected = [[functools.partial(numpy_act, g) for g in elements] for elements in alike(image, group)]
    for axis, boundary in enumerate(image.boundary):
        step = tuple(network.translation_step * (a == axis) for a in range(image.ndim))
        if boundary == "periodic":
            collected[0].append(functools.partial(moved, step, grid=image.grid))
    return collected


def sizes(images: Any) -> Any:
    """The norm of each image along the first batch axis."""
    return np.sqrt(np.array([np.square(np.asarray(image, np.float64)).sum() for image in images]))


def errors(network: AbstractNetwork, image: MultiImage, group: Group) -> np.ndarray:
    """||f(g x) - g f(x)|| for every element of the group, then every translation, in rows.

    A column for each image along a first batch axis. Relative to ||f(x)||, or to ||x|| where a uniform field happens to
    give a much smaller one.
    """
    found, expected = [], None
    for together in transforms(network, image, group):
        outputs = run(network, stacked([transform(image) for transform in together]))
        first, *_ = arrays = np.asarray(outputs.array)
        expected = outputs.with_array(jnp.asarray(first)) if expected is None else expected
        scale = np.maximum(sizes(expected.array), sizes(image.array))
        for transform, output in zip(together, arrays, strict=True):
            found.append(sizes(output - np.asarray(transform(expected).array)) / scale)
    return np.stack(found)


def torus(group: Group, dtype: str, key: PRNGKeyArray) -> MultiImage:
    boundary = TORUS[:1] * group.dimension
    return random_image(FIELDS, boundary, GRIDS[group.dimension], dtype=jnp.dtype(dtype), key=key)


@pytest.mark.parametrize("architecture, group", LAWS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_network_commutes_with_every_element_and_with_translations(
    architecture: Any, group: Group, getkey: Keys
) -> None:
    image = kinds(torus(group, "float32", getkey()), group)
    assert errors(small(architecture, group, getkey()), image, group).max() <= 1e-5


@pytest.mark.parametrize("architecture, group", DOUBLE, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_network_commutes_in_double_precision(architecture: Any, group: Group, getkey: Keys) -> None:
    with jax.enable_x64(True):
        image = stacked([torus(group, "float64", getkey())])
        assert errors(small(architecture, group, getkey()), image, group).max() <= 1e-12


@pytest.mark.parametrize("architecture", [DilatedResNet, UNet], ids=lambda kind: kind.__name__)
def test_a_network_commutes_on_bounded_grids(architecture: Any, getkey: Keys) -> None:
    image = random_image(FIELDS, ("mirror", "replicate"), (8, 8), batch=(1,), key=getkey())
    assert errors(small(architecture, B2, getkey()), image, flips(2)).max() <= 1e-5


@pytest.mark.soak
def test_boundaries_turn_with_the_image(getkey: Keys) -> None:
    image = random_image(FIELDS, ("periodic", "mirror"), (8, 4), batch=(1,), key=getkey())
    assert errors(small(ResNet, B2, getkey()), image, B2).max() <= 1e-5


@pytest.mark.soak
def test_a_deep_network_neither_grows_nor_magnifies_rounding_errors(getkey: Keys) -> None:
    image = kinds(random_image(FIELDS, TORUS, (8, 8), key=getkey()), B2)
    network = ResNet(B2, FIELDS, FIELDS, hidden=HIDDEN, num_blocks=8, key=getkey())
    assert errors(network, image, B2).max() <= 1e-5
    assert 1 / 3 < sizes(run(network, image).array)[0] / sizes(image.array)[0] < 3


def test_a_unet_does_not_commute_with_every_translation(getkey: Keys) -> None:
    network = small(UNet, B2, getkey())
    image = random_image(FIELDS, TORUS, (8, 8), batch=(3,), key=getkey())
    broken = run(network, moved((1, 0), image)).array - moved((1, 0), run(network, image)).array
    assert (sizes(broken) > 1e-2 * sizes(image.array)).all()


@every_architecture
def test_a_twin_commutes_with_translations_and_with_nothing_else(architecture: Any, getkey: Keys) -> None:
    network = TWINS[architecture](B2, FIELDS, FIELDS, hidden=HIDDEN, **SMALL[architecture], key=getkey())
    image = random_image(FIELDS, TORUS, (8, 8), batch=(1,), key=getkey())
    measured = errors(network, image, flips(2))
    assert measured[0] == 0 and (measured[1:4] > 0.1).all()
    assert len(measured) == 6 and (measured[4:] <= 1e-5).all()


@every_architecture
def test_a_twin_has_as_many_features_in_every_layer(architecture: Any, getkey: Keys) -> None:
    def features(network: AbstractNetwork) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []

        def watched(layer: Any) -> Any:
            def watch(image: MultiImage) -> Any:
                found.append(image.array.shape)
                return layer(image)

            return watch if is_conv(layer) else layer

        spied = jax.tree.map(watched, network, is_leaf=is_conv)
        eqx.filter_eval_shape(spied, image)
        return found

    image = random_image(FIELDS, TORUS, (8, 8), key=getkey())
    config = {"hidden": HIDDEN, **SMALL[architecture], "key": getkey()}
    equivariant, twin = (build(B2, FIELDS, FIELDS, **config) for build in (architecture, TWINS[architecture]))
    assert features(equivariant) == features(twin)
    assert len(features(twin)) >= 3


@pytest.mark.soak  # the parts have tests of their own, in test_fold and test_compile
def test_the_folded_and_the_compiled_network_are_equal_to_it(getkey: Keys) -> None:
    network = small(UNet, B2, getkey())
    image = random_image(FIELDS, TORUS, (8, 8), batch=(3,), key=getkey())
    expected = run(network, image).array
    folded = fold(network)
    assert not any(isinstance(leaf, equifield.nn.Conv) for leaf in jax.tree.leaves(folded, is_leaf=is_conv))
    compiled = compile_model(folded, FIELDS, grids=[(8, 8)], batches=[4], boundary=TORUS)
    np.testing.assert_allclose(compiled(np.asarray(image.array)), expected, atol=2e-5)


def is_conv(node: object) -> bool:
    return isinstance(node, equifield.nn.Conv)


def test_images_of_a_batch_do_not_see_each_other(getkey: Keys) -> None:
    network = small(ResNet, B2, getkey())
    image = random_image(FIELDS, TORUS, (8, 8), batch=(3,), key=getkey())
    one_by_one = eqx.filter_jit(eqx.filter_vmap(network))(image)
    np.testing.assert_allclose(run(network, image).array, one_by_one.array, atol=1e-5)


@every_architecture
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_network_keeps_the_precision(architecture: Any, dtype: str, getkey: Keys) -> None:
    network = small(architecture, B2, getkey())
    shape = jax.ShapeDtypeStruct((8, 8, 3), dtype)  # type: ignore[no-untyped-call]
    output = jax.eval_shape(lambda array: network(MultiImage(array, FIELDS, TORUS)).array, shape)
    sides = (16, 16) if architecture is SuperResolution else (8, 8)
    assert (output.shape, output.dtype) == ((*sides, 3), shape.dtype)


@pytest.mark.soak
def test_gradients_are_finite_on_random_zero_and_uniform_fields(getkey: Keys) -> None:
    network = small(ResNet, B2, getkey())
    image = kinds(random_image(FIELDS, TORUS, (8, 8), key=getkey()), B2)
    image = image.with_array(image.array.at[1].set(0.0))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient((network, image))))


@every_architecture
def test_networks_of_one_configuration_share_one_program(architecture: Any, getkey: Keys) -> None:
    first, second = (small(architecture, B2, getkey()) for _ in range(2))
    assert jax.tree.structure(first) == jax.tree.structure(second)  # type: ignore[operator]
    assert not eqx.tree_equal(first, second)


def test_weight_decay_leaves_the_span_of_the_filters(getkey: Keys) -> None:
    network = small(ResNet, B2, getkey())
    image = random_image(FIELDS, TORUS, (8, 8), batch=(3,), key=getkey())
    weights = jax.tree_util.tree_leaves_with_path(eqx.filter(network, eqx.is_array))
    names = {next(key.name for key in reversed(path) if hasattr(key, "name")) for path, _ in weights}
    assert names == {"weights", "mixing", "scale", "bias"}
    optimiser = optax.adamw(1e-2, weight_decay=0.5)

    @eqx.filter_jit
    def updated(
        network: AbstractNetwork, state: optax.OptState, found: AbstractNetwork
    ) -> tuple[AbstractNetwork, optax.OptState]:
        updates, state = optimiser.update(found, state, eqx.filter(network, eqx.is_array))
        return eqx.apply_updates(network, updates), state

    trained, state = network, optimiser.init(eqx.filter(network, eqx.is_array))
    for _ in range(3):
        trained, state = updated(trained, state, gradient((trained, image))[0])
    assert not eqx.tree_equal(trained, network)
    assert errors(trained, image, B2).max() <= 1e-5


@pytest.mark.parametrize("architecture", [ResNet, UNet], ids=lambda kind: kind.__name__)
def test_every_option_changes_the_network(architecture: Any, getkey: Keys) -> None:
    options = {"kernel_size": 1, "activation": "tanh", "norm_groups": 3, "use_bias": False, "products": True}
    key, image = getkey(), random_image(FIELDS, TORUS, (8, 8), key=getkey())
    structures = {jax.tree.structure(small(architecture, B2, key))}
    for name, value in options.items():
        network = architecture(B2, FIELDS, FIELDS, hidden=HIDDEN, **SMALL[architecture], **{name: value}, key=key)
        structures.add(jax.tree.structure(network))
        assert eqx.filter_eval_shape(network, image).array.shape == (8, 8, 3)
    assert len(structures) == 1 + len(options)


def test_without_normalisation_a_convolution_network_is_local(getkey: Keys) -> None:
    image = random_image(FIELDS, TORUS, (8, 8), batch=(3,), key=getkey())
    near = image.with_array(image.array.at[:, 0, 0].add(1.0))
    network = SimpleConv(B2, FIELDS, FIELDS, hidden=HIDDEN, num_convs=2, key=getkey())
    changed = np.asarray(jnp.abs(run(network, near).array - run(network, image).array).max(axis=(0, -1)) > 0)
    assert changed[np.ix_([0, 1, 2, -1, -2], [0, 1, 2, -1, -2])].any()
    assert changed.sum() <= 25


def test_persistence_returns_the_last_time_of_every_field(getkey: Keys) -> None:
    states = FieldType.parse("2x scalar + 3x vector")
    constants = FieldType.parse("1x scalar")
    past = random_image(states.scaled(4), TORUS, (8, 8), batch=(2,), key=getkey())
    image = concatenate(past, random_image(constants, TORUS, (8, 8), batch=(2,), key=getkey()))
    network = build_model("LastStep", {"past_steps": 4}, B2, image.field_type, states, key=getkey())
    last = network(image)
    assert last.field_type == states
    for representation, channels in states:
        fields = np.asarray(past[representation])
        by_time = fields.reshape(*fields.shape[:3], channels, 4, *representation.shape(2))
        np.testing.assert_array_equal(last[representation], by_time[:, :, :, :, -1])
    with pytest.raises(ValueError, match="needs 2 fields of scalar at each of 5 times"):
        LastStep(B2, image.field_type, states, past_steps=5)


GLOBE = FieldType.parse("1x scalar + 1x pseudoscalar + 2x vector + 1x tensor(2)")


def globe(network: Any, key: PRNGKeyArray, **options: Any) -> Climate1D:
    source, target = zonal_type(GLOBE, 5), zonal_type(FIELDS, 5)
    inner = network(flips(1), source, target, hidden=FieldType({scalar: 4, pseudoscalar: 4}), **options, key=key)
    return Climate1D(inner, GLOBE, FIELDS, latitudes=5)


def test_a_climate_network_commutes_with_the_flips_of_the_globe(dtype: str, getkey: Keys) -> None:
    image = random_image(GLOBE, ("periodic", "zero"), (16, 5), batch=(2,), dtype=jnp.dtype(dtype), key=getkey())
    assert errors(globe(SimpleConv, getkey(), num_convs=2), image, flips(2)).max() <= TOLERANCE[dtype]
    plain = errors(globe(PlainSimpleConv, getkey(), num_convs=2), image, flips(2))
    turns_longitude = np.array([g.signs[0] < 0 for g in flips(2)] + [False])
    assert (plain[turns_longitude] > 0.1).all()
    assert (plain[~turns_longitude] <= TOLERANCE[dtype]).all()


@pytest.mark.soak
def test_eastward_wind_is_a_pseudoscalar_of_longitude_and_northward_wind_a_scalar(getkey: Keys) -> None:
    assert zonal_type(FieldType({vector: 2}), 5) == FieldType({scalar: 10, pseudoscalar: 10})
    assert zonal_type(FieldType({scalar: 2}), 5) == FieldType({scalar: 10})
    zonal = zonal_type(GLOBE, 5)
    unchanged = Climate1D(LastStep(flips(1), zonal, zonal, past_steps=1), GLOBE, GLOBE, latitudes=5)
    image = random_image(GLOBE, ("periodic", "mirror"), (16, 5), batch=(2,), key=getkey())
    np.testing.assert_array_equal(unchanged(image).array, image.array)
    with pytest.raises(ValueError, match=r"components .* of regular\(flips2\) change places"):
        zonal_type(FieldType({Regular(flips(2)): 1}), 5)
    with pytest.raises(ValueError, match=r"latitudes=5.*not \(16, 6\)"):
        unchanged(random_image(GLOBE, ("periodic", "zero"), (16, 6), key=getkey()))


class Coarse(AbstractNetwork):
    """The value of largest norm of every 4 x 4 pixels."""

    @property
    def translation_step(self) -> int:
        return 4

    def __call__(self, image: MultiImage) -> MultiImage:
        return Upsample(4)(MaxNormPool(4)(image))


@pytest.mark.soak
def test_any_grid_extends_what_a_reflection_allows(getkey: Keys) -> None:
    network = AnyGrid(Coarse())
    image = random_image(FIELDS, ("mirror", "mirror"), (6, 10), batch=(1,), key=getkey())
    assert errors(network, image, B2).max() <= 1e-5
    assert len(np.unique(network(image)[scalar])) == 2 * 3
    mixed = random_image(FIELDS, ("periodic", "zero"), (8, 6), batch=(1,), key=getkey())
    assert errors(network, mixed, flips(2)).max() <= 1e-5
    refused: list[tuple[tuple[Boundary, ...], tuple[int, ...], str]] = [
        (("periodic", "zero"), (6, 8), "axis 0 of 6 pixels .* periodic, .* Sides that work: 4 or 8"),
        (("periodic", "zero"), (8, 7), "axis 1 of 7 pixels .* odd number .* Sides that work: 6 or 8"),
    ]
    for boundary, grid, reason in refused:
        with pytest.raises(ValueError, match=reason):
            network(random_image(FIELDS, boundary, grid, key=getkey()))


class Finer(AbstractNetwork):
    """The value of largest norm of every 4 x 4 pixels, added to the image on a grid three times finer."""

    @property
    def translation_step(self) -> int:
        return 4

    def __call__(self, image: MultiImage) -> MultiImage:
        return Upsample(3)(image + Coarse()(image))


def test_any_grid_cuts_a_finer_prediction_back_to_the_pixels_of_the_image(getkey: Keys) -> None:
    def cut(image: MultiImage, first: int) -> MultiImage:
        whole = Finer()(image.with_array(pad(image, (1, 1), (1, 1))))
        kept = slice(first, first - 6)
        return whole.with_array(whole.array[:, kept, kept])

    network = AnyGrid(Finer())
    image = random_image(FIELDS, ("mirror", "mirror"), (6, 10), batch=(1,), key=getkey())
    np.testing.assert_array_equal(network(image).array, cut(image, 3).array)
    assert network(image).grid == (18, 30)
    assert errors(network, image, B2).max() <= 1e-5
    mirror = SignedPermutation.flip(2, axis=0)
    beside, turned = act(mirror, cut(image, 1)).array, cut(act(mirror, image), 1).array
    assert np.abs(turned - beside).max() > 0.1, "control: other pixels break the law"


CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "LastStep": ("B2", {"past_steps": 1}),
    "AnyGrid": ("B2", {"network": {"name": "UNet", "config": {"hidden": str(HIDDEN)}}}),
    "Interpolation": ("B2", {"factor": 2, "method": "linear"}),
    "Residual": ("B2", {"scale": 0.1, "network": {"name": "SimpleConv", "config": {"hidden": str(HIDDEN)}}}),
    "Climate1D": (
        "flips2",
        {"latitudes": 5, "network": {"name": "ResNet", "config": {"hidden": "2x scalar + 2x pseudoscalar"}}},
    ),
}


def test_every_exported_architecture_can_be_built_from_a_manifest() -> None:
    exported = {name for name, value in vars(equifield.models).items() if name[0].isupper() and callable(value)}
    ours = {name for name in ARCHITECTURES if not name.startswith("Ginjax")}
    assert exported == {"AbstractNetwork", "TensorSymmetries", *ours}
    for name in ARCHITECTURES:
        size = {"kernel_size": [3, 3]} if name in ours else {"filter_orders": [0, 1, 2]}
        group, config = CONFIGURATIONS.get(name, ("B2", {"hidden": str(HIDDEN), **size}))
        config = config | ({"num_blocks": 1} if name.endswith("ResNet") else {})
        build = eqx.Partial(build_model, name, config, group_named(group), FIELDS, FIELDS)
        image = random_image(FIELDS, TORUS, (16, 5 if name == "Climate1D" else 16), key=jr.key(1))
        output = eqx.filter_eval_shape(lambda image, build=build: build(key=jr.key(0))(image), image)
        finer = 2 if name in ("Interpolation", "SuperResolution", "PlainSuperResolution") else 1
        assert output.array.shape == (*(finer * side for side in image.grid), 3)


SYMMETRIES = [("symmetric",), ("antisymmetric",), ("traceless",), (), ("symmetric", "traceless")]


@pytest.mark.parametrize("group", [B2, hyperoctahedral(3)], ids=str)
def test_tensors_of_a_symmetry_have_it_and_are_the_nearest_that_do(group: Group, getkey: Keys) -> None:
    fields = FieldType.parse("1x scalar + 4x tensor(2) + 1x pseudotensor(2)")
    inner = SimpleConv(group, FIELDS, fields, hidden=HIDDEN, num_convs=2, key=getkey())
    image = torus(group, "float32", getkey())
    network, before = TensorSymmetries(inner, SYMMETRIES), run(inner, image)
    after = run(network, image)
    assert errors(network, image, group).max() <= 1e-5
    np.testing.assert_array_equal(after[Tensor(0)], before[Tensor(0)])
    free, given = (np.concatenate([np.asarray(x[Tensor(2, p)]) for p in (0, 1)], axis=-3) for x in (before, after))
    transposed, traces = given.swapaxes(-1, -2), np.trace(given, axis1=-2, axis2=-1)
    for i, words in enumerate(SYMMETRIES):
        kept, turned, other = given[..., i, :, :], transposed[..., i, :, :], free[..., i, :, :]
        assert np.array_equal(kept, turned) == ("symmetric" in words)
        assert np.array_equal(kept, -turned) == ("antisymmetric" in words)
        assert (np.abs(traces[..., i]).max() <= 1e-6) == ("traceless" in words or "antisymmetric" in words)
        assert abs(np.vdot(other - kept, kept)) <= 1e-4 * np.vdot(other, other)
        assert np.array_equal(kept, other) == (not words), "control: the network gives none"


def test_a_symmetry_that_is_none_or_one_too_many_is_refused(getkey: Keys) -> None:
    inner = SimpleConv(B2, FIELDS, FieldType.parse("2x tensor(2)"), hidden=HIDDEN, num_convs=2, key=getkey())
    for words in (("Symmetric",), ("symmetric", "antisymmetric")):
        with pytest.raises(ValueError, match="cannot be kept"):
            TensorSymmetries(inner, [words, ()])
    with pytest.raises(ValueError, match=r"symmetries of 1 tensors of order two, but the network gives 2, 2x tensor"):
        TensorSymmetries(inner, [()])(random_image(FIELDS, TORUS, (8, 8), key=getkey()))


def test_a_residual_network_says_how_its_input_changes(getkey: Keys) -> None:
    inner = SimpleConv(B2, FIELDS, FIELDS, hidden=HIDDEN, num_convs=2, key=getkey())
    network = Residual(inner, scale=0.1)
    image = random_image(FIELDS, TORUS, (8, 8), key=getkey())
    np.testing.assert_allclose(network(image).array - image.array, 0.1 * inner(image).array, atol=1e-6)
    assert errors(network, image, B2).max() <= 1e-5
    with pytest.raises(ValueError, match="changes fields that it is given"):
        Residual(SimpleConv(B2, FIELDS, HIDDEN, hidden=HIDDEN, num_convs=2, key=getkey()))(image)
    with pytest.raises(ValueError, match="positive scale"):
        Residual(inner, scale=0.0)


def test_a_residual_network_changes_the_states_and_only_looks_at_constant_fields(getkey: Keys) -> None:
    fixed = FieldType.parse("1x scalar + 1x vector")
    state, source = (random_image(kind, TORUS, (8, 8), key=getkey()) for kind in (FIELDS, fixed))
    inner = SimpleConv(B2, FIELDS + fixed, FIELDS, hidden=HIDDEN, num_convs=2, key=getkey())
    image = model_input(state.with_array(state.array[np.newaxis]), source)
    changed = Residual(inner, scale=0.1)(image)
    np.testing.assert_allclose(changed.array - state.array, 0.1 * inner(image).array, atol=1e-6)
    other = model_input(state.with_array(state.array[np.newaxis]), -1.0 * source)
    assert np.abs(Residual(inner)(other).array - Residual(inner)(image).array).max() > 1e-3, "control: it does look"


def test_a_residual_network_to_a_finer_grid_says_what_the_interpolation_misses(getkey: Keys) -> None:
    inner = SuperResolution(B2, FIELDS, FIELDS, hidden=HIDDEN, factor=3, **SMALL[SuperResolution], key=getkey())
    network = Residual(inner, scale=0.1)
    image = kinds(random_image(FIELDS, ("periodic", "mirror"), (8, 4), key=getkey()), flips(2))
    assert run(network, image).grid == (24, 12)
    assert errors(network, image, B2).max() <= 1e-5
    baseline = Interpolation(B2, FIELDS, FIELDS, factor=3)
    assert errors(baseline, image, B2).max() <= 1e-6
    missing = run(network, image).array - run(baseline, image).array
    np.testing.assert_allclose(missing, 0.1 * run(inner, image).array, atol=1e-6)
    with pytest.raises(ValueError, match="gives the fields that it takes, 1x scalar"):
        Interpolation(B2, FIELDS, HIDDEN)


@pytest.mark.parametrize(
    "name, config, reason",
    [
        ("Transformer", {}, "no architecture 'Transformer'. Known: AnyGrid, Climate1D"),
        ("ResNet", {"hidden": "1x scalar", "num_layers": 3}, "its options are hidden, num_blocks, .*, of which hidden"),
        ("PlainResNet", {"hidden": "1x scalar", "width": 3}, "its options are hidden, num_blocks"),
        ("UNet", {"num_convs": 3}, "of which hidden must be given"),
        ("UNet", {"hidden": "1x scalar", "num_convs": "3"}, "`UNet` cannot be built from"),
        ("ResNet", {"hidden": "3x wind"}, "'wind' names no representation"),
        ("ResNet", {"hidden": "1x scalar", "activation": "step"}, "no activation named 'step'"),
        ("ResNet", {"hidden": "1x scalar", "kernel_size": [3, 2]}, "Use odd sides"),
        ("ResNet", {"hidden": "1x scalar", "norm_groups": 2}, "divides the channels"),
        ("ResNet", {"hidden": "1x scalar", "num_blocks": 0}, r"`ResNet\(num_blocks=0\)` needs at least one"),
        ("AnyGrid", {"network": {"name": "AnyGrid", "config": {}}}, "no architecture 'AnyGrid'. Known: Dilated"),
        ("AnyGrid", {"network": "UNet"}, "network"),
        ("AnyGrid", {"network": {"name": ["UNet"], "config": {}}}, "given by its `name` and `config`"),
        (
            "Climate1D",
            {"latitudes": 5, "network": {"name": "ResNet", "config": {}}},
            "built for that group, not for B2",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_cannot_be_built_is_refused(name: str, config: dict[str, Any], reason: str, getkey: Keys) -> None:
    with pytest.raises(ValueError, match=reason):
        build_model(name, config, B2, FIELDS, FIELDS, key=getkey())


def test_sides_that_break_the_law_are_refused_with_those_that_work(getkey: Keys) -> None:
    image = random_image(FIELDS, TORUS, (9, 8), key=getkey())
    with pytest.raises(ValueError, match=r"multiples of 2, but the grid is \(9, 8\). Sides that work: 8 or 10"):
        small(UNet, B2, getkey())(image)
