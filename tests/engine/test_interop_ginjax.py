"""Networks of ginjax 0.1.8: ours give what theirs gave, from the files that theirs wrote."""

import functools
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

from equifield import FieldType, MultiImage, Regular, Representation, SignedPermutation, Tensor
from equifield.boundary import Boundary
from equifield.groups import group_named, hyperoctahedral
from equifield.interop import ginjax as interop
from equifield.interop.ginjax._leaves import read_leaves
from equifield.interop.ginjax._whitening_norm import inverse_root
from equifield.multi_image import random_image
from equifield.representations import pseudoscalar, scalar, vector
from tests.engine.laws import numpy_act, stacked

REFERENCE = Path(__file__).parent / "ginjax_reference"
CASES = sorted(path.stem for path in REFERENCE.glob("*.json"))
SHIFTED = {"resnet", "unet_norm"}
"""The cases in which a norm has learned to shift pseudoscalars."""
B2 = hyperoctahedral(2)
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
GetKey = Callable[[], PRNGKeyArray]


def specification(case: str) -> dict[str, Any]:
    specified: dict[str, Any] = json.loads((REFERENCE / f"{case}.json").read_text())
    return specified


def loaded(case: str) -> Any:
    return interop.load_eqx(REFERENCE / f"{case}.eqx", specification(case)["config"])


def stored(case: str, prefix: str) -> dict[interop.Key, np.ndarray]:
    """The input or the output that ginjax's `MultiImage` held."""
    with np.load(REFERENCE / f"{case}.npz") as file:
        names = [name.split() for name in file if name.startswith(prefix)]
        return {(tuple(index == "d" for index in key[:-1]), int(key[-1])): file[f"{name} {key}"] for name, key in names}


def assert_equal_fields(given: MultiImage, expected: dict[interop.Key, np.ndarray]) -> None:
    blocks = interop.to_blocks(given)
    assert blocks.keys() == expected.keys()
    for key, block in expected.items():
        error = np.linalg.norm(blocks[key] - block) / np.linalg.norm(block)
        assert error <= 1e-5, f"{key}: {error}"


@functools.cache
def answers(case: str) -> tuple[list[SignedPermutation], MultiImage, MultiImage]:
    """What our network gives for the stored image turned by all elements that keep its grid, the identity first."""
    specified = specification(case)
    image = interop.from_blocks(stored(case, "in"), tuple(specified["is_torus"]))
    group = group_named(specified["config"]["group"])
    elements = [g for g in group if (g.permute(image.grid), g.permute(image.boundary)) == (image.grid, image.boundary)]
    given = eqx.filter_jit(loaded(case))(stacked([numpy_act(g, image) for g in elements]))
    return elements, given, given.with_array(given.array[0])


@pytest.mark.parametrize("case", CASES)
def test_a_saved_model_gives_what_it_gave_in_ginjax(case: str) -> None:
    _, _, given = answers(case)
    assert_equal_fields(given, stored(case, "out"))


@pytest.mark.parametrize("case", CASES)
def test_the_law_holds_where_ginjax_keeps_it(case: str) -> None:
    elements, turned, given = answers(case)
    laws = np.stack([np.asarray(numpy_act(g, given).array) for g in elements])
    error = np.linalg.norm(turned.array - laws) / np.linalg.norm(laws)
    assert error > 1e-3 if case in SHIFTED else error <= 1e-5


def test_a_group_norm_gives_what_it_gave_in_ginjax() -> None:
    field_type = FieldType({scalar: 4, pseudoscalar: 2, vector: 4})
    norm = interop.WhiteningNorm(field_type, groups=2)
    with np.load(REFERENCE / "group_norm.npz") as file:
        for part in ("scale", "shift"):
            for tensor in (scalar, pseudoscalar, vector):
                getattr(norm, part)[str(tensor)] = jnp.asarray(file[f"{part} {tensor.order}{tensor.parity}"])
    image = interop.from_blocks(stored("group_norm", "in"), (True, True))
    assert_equal_fields(eqx.filter_jit(norm)(image), stored("group_norm", "out"))


def written(path: Path, arrays: Iterable[np.ndarray]) -> Path:
    """A file as `equinox.tree_serialise_leaves` writes it."""
    with path.open("wb") as file:
        for array in arrays:
            np.save(file, array)
    return path


def test_filters_of_another_scale_or_number_give_the_same_layer(tmp_path: Path) -> None:
    """ginjax scales its filters in nine ways, and may combine or leave out some; the weights follow."""
    config = specification("conv")["config"]
    arrays = list(read_leaves(REFERENCE / "conv.eqx"))
    filters = [i for i, array in enumerate(arrays) if array.shape[1:3] == (3, 3)]
    weights = arrays[0]
    assert arrays[filters[0]].shape == (3, 3, 3) and weights.shape[-1] != 3, "the first weights multiply other filters"
    for i, array in enumerate(arrays):
        if i in filters:
            arrays[i] = array[::-1] * 2
        elif array.ndim == 3:
            arrays[i] = array[..., ::-1] / 2
    same: Any = interop.load_eqx(written(tmp_path / "scaled.eqx", arrays), config)
    np.testing.assert_allclose(same.conv.kernel(), loaded("conv").conv.kernel(), atol=1e-6)
    for i, array in enumerate(arrays):
        arrays[i] = array[:1] if i in filters else array[..., :1] if array.ndim == 3 else array
    fewer: Any = interop.load_eqx(written(tmp_path / "fewer.eqx", arrays), config)
    assert np.any(fewer.conv.kernel() != 0)


def test_filters_that_the_group_does_not_keep_are_refused(tmp_path: Path) -> None:
    arrays = [array.copy() for array in read_leaves(REFERENCE / "conv.eqx")]
    arrays[-2][0, 0, 0] += 1
    with pytest.raises(ValueError, match="not invariant under B2"):
        interop.load_eqx(written(tmp_path / "broken.eqx", arrays), specification("conv")["config"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_type": "1x scalar + 1x vector"}, "the weights from vector to .* of shape|has .* there"),
        ({"out_type": "1x pseudoscalar + 1x vector + 1x scalar"}, "made with other settings"),
        ({"kernel_size": 5}, "made with other settings"),
        ({"use_bias": False}, "made with other settings"),
        ({"filter_orders": [0, 1]}, "made with other settings"),
        ({"architecture": "Transformer"}, "no architecture 'Transformer'"),
        ({"depth": 3}, "cannot be built from"),
        ({"group": "D8"}, "no group named"),
        ({"use_bias": True}, "images without any field"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(map(str, *value.items())),
)
def test_a_configuration_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        interop.load_eqx(REFERENCE / "conv.eqx", specification("conv")["config"] | change)


def header(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    """The beginning of an array in a file."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": kind})
    return file.getvalue()


STORED = (REFERENCE / "conv.eqx").read_bytes()
HOSTILE = {
    "empty": (b"", "neither with an array nor with JSON"),
    "no arrays": (b"{}\n", "no more arrays"),
    "cut": (STORED[:-1], "cut off"),
    "longer": (STORED + header((1,)) + bytes(4), "more arrays"),
    "huge": (header((2**60,)) + STORED, "impossible shape"),
    "without end": (header((0, 2**99)) + STORED, "impossible shape"),
    "negative": (header((-1, 2)) + STORED, "impossible shape"),
    "integers": (header((2,), "<i4") + STORED, "are floats"),
    "objects": (header((1,), "|O") + STORED, "are floats"),
    "broken": (STORED[:20] + b"\xff" * 200, "no readable array"),
    "of a new version": (STORED[:6] + b"\x09\x00" + STORED[8:], "no readable array"),
    "text": (b"weights of a model\n" + STORED, "neither with an array nor with JSON"),
    "nested": (b"[" * 100_000 + STORED, "neither with an array nor with JSON"),
    "no object": (b"[1, 2]\n" + STORED, "one JSON object"),
}


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_is_not_what_it_should_be_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "hostile.eqx").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        interop.load_eqx(tmp_path / "hostile.eqx", specification("conv")["config"])


SCALARS = {"group": "B2", "in_type": "1x scalar", "out_type": "1x scalar", "hidden": "1x scalar"}
SPACE = {
    "group": "B3",
    "in_type": "1x tensor(2) + 1x pseudotensor(2)",
    "hidden": "1x scalar + 1x pseudoscalar + 1x vector + 1x pseudovector",
}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "ResNet", "out_type": "1x pseudoscalar"}, "lead from none of scalar to 1x pseudoscalar"),
        ({"architecture": "ResNet", "out_type": "1x scalar + 1x pseudoscalar"}, "reach no pseudoscalar"),
        ({"architecture": "ResNet", "hidden": "1x scalar + 1x tensor(2)"}, "takes scalars and vectors"),
        ({"architecture": "ResNet", **SPACE, "num_conv": 1}, "would add .*pseudoscalar, pseudovector. to"),
        (
            {"architecture": "UNet", "hidden": "1x scalar + 1x pseudoscalar + 1x vector", "num_conv": 1},
            "other types from the coarser grid",
        ),
        ({"architecture": "DilResNet", "activation": "sine"}, "no activation named 'sine'"),
    ],
    ids=["nothing reached", "not all reached", "norm", "order of types", "bridge", "activation"],
)
def test_a_network_that_ginjax_cannot_run_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        eqx.filter_eval_shape(interop.build, SCALARS | config, key=jr.key(0))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_a_fresh_network_keeps_the_precision(dtype: str, getkey: GetKey) -> None:
    config = specification("unet_norm")["config"]
    image = random_image(FieldType.parse(config["in_type"]), TORUS, (4, 4), dtype=jnp.dtype(dtype), key=getkey())
    network = eqx.filter_eval_shape(interop.build, config, key=getkey())
    given = eqx.filter_eval_shape(lambda network, image: network(image), network, image)
    assert given.array.dtype == dtype
    assert given.field_type == FieldType.parse(config["out_type"])


def test_the_layers_have_finite_gradients(getkey: GetKey) -> None:
    field_type = FieldType({scalar: 2, vector: 2})
    neuron = interop.SignedVectorNeuron(field_type, activation="tanh", key=getkey())
    norm, pool, bias = interop.WhiteningNorm(field_type), interop.FirstMaxPool(), interop.MeanBias(field_type)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(parts: Any) -> Any:
        neuron, norm, image = parts
        return jnp.sum(bias(pool(neuron(norm(image)))).array ** 2)

    image = random_image(field_type, TORUS, (4, 4), key=getkey())
    for values in (image.array, jnp.zeros_like(image.array), jnp.ones_like(image.array)):
        gradients = jax.tree.leaves(gradient((neuron, norm, image.with_array(values))))
        assert all(jnp.isfinite(leaf).all() for leaf in gradients)


def test_the_derivative_of_the_whitening_is_right_where_eigenvalues_agree(getkey: GetKey) -> None:
    with jax.enable_x64(True):
        direction = jr.normal(getkey(), (3, 3), float)
        direction += direction.T
        matrix = jnp.stack([jnp.diag(jnp.array(values)) for values in ([1.0, 1.0, 1.0], [1.0, 2.0, 2.0])])
        root = jax.jit(lambda matrix: inverse_root(matrix, 0.1))
        exact = jax.jvp(root, (matrix,), (jnp.broadcast_to(direction, matrix.shape),))[1]
        differences = root(matrix + 1e-5 * direction) - root(matrix - 1e-5 * direction)
        np.testing.assert_allclose(exact, differences / 2e-5, atol=1e-7)


def test_the_nonlinearity_has_the_sign_that_ginjax_gives_it() -> None:
    field_type = FieldType({pseudoscalar: 1})
    neuron = interop.SignedVectorNeuron(field_type, activation="tanh", key=jr.key(0))
    neuron = eqx.tree_at(lambda neuron: neuron.mixing["pseudoscalar"], neuron, jnp.ones((1, 1)))
    image = MultiImage(jnp.array([[[0.5]], [[-0.5]]]), field_type, TORUS)
    np.testing.assert_allclose(neuron(image).array.ravel(), [np.tanh(0.5), -np.tanh(0.5)], rtol=1e-4)
    turned = eqx.tree_at(lambda neuron: neuron.mixing["pseudoscalar"], neuron, -jnp.ones((1, 1)))
    np.testing.assert_allclose(turned(image).array.ravel(), [-np.tanh(0.5), np.tanh(0.5)], rtol=1e-3)


def test_of_equal_norms_the_first_is_pooled() -> None:
    image = MultiImage(jnp.array([[-1.0, 1.0], [1.0, 0.5]])[..., None], FieldType({scalar: 1}), TORUS)
    assert interop.FirstMaxPool()(image).array.tolist() == [[[-1.0]]]
    with pytest.raises(ValueError, match="even sides"):
        interop.FirstMaxPool()(image.with_array(image.array[:1]))


def test_images_survive_the_way_there_and_back(getkey: GetKey) -> None:
    fields: dict[Representation, int] = {scalar: 2, Tensor(2, 1, (False, True)): 1, Tensor(1, 0, (True,)): 3}
    image = random_image(FieldType(fields), ("periodic", "zero"), (3, 4), batch=(2,), key=getkey())
    arguments = interop.ginjax_arguments(image)
    assert (arguments["D"], arguments["is_torus"]) == (2, (True, False))
    shapes = {key: block.shape for key, block in arguments["data"].items()}
    assert shapes == {((), 0): (2, 2, 3, 4), ((False, True), 1): (2, 1, 3, 4, 2, 2), ((True,), 0): (2, 3, 3, 4, 2)}
    theirs = SimpleNamespace(**arguments, metric_tensor=None)
    back = interop.image_from_ginjax(theirs)
    assert (back.field_type, back.boundary) == (image.field_type, image.boundary)
    assert (back.array == image.array).all()
    block = np.asarray(arguments["data"][(True,), 0])
    assert (block[1, 2, 0, 3] == np.asarray(image[Tensor(1, 0, (True,))])[1, 0, 3, 2]).all()


def test_orders_may_name_types_of_contravariant_tensors() -> None:
    image = interop.from_blocks({(0, 0): np.zeros((1, 3, 4)), (1, 1): np.ones((2, 3, 4, 2))}, (True, False))
    assert str(image.field_type) == "1x scalar + 2x pseudovector"
    twice: dict[Any, np.ndarray] = {(1, 0): np.ones((2, 3, 4, 2)), ((False,), 0): np.ones((2, 3, 4, 2))}
    with pytest.raises(ValueError, match="twice"):
        interop.from_blocks(twice, (True, True))
    with pytest.raises(ValueError, match="channels"):
        interop.from_blocks({(1, 0): np.ones((3, 4, 2))}, (True, True))


def test_what_ginjax_cannot_hold_is_refused(getkey: GetKey) -> None:
    walls = random_image(FieldType({scalar: 1}), ("mirror", "zero"), (3, 4), key=getkey())
    with pytest.raises(ValueError, match="'periodic' and 'zero'"):
        interop.ginjax_arguments(walls)
    regular = random_image(FieldType({Regular(B2): 1}), TORUS, (3, 4), key=getkey())
    with pytest.raises(ValueError, match="holds tensors"):
        interop.to_blocks(regular)
    with pytest.raises(ValueError, match="metric"):
        interop.image_from_ginjax(SimpleNamespace(data={}, D=2, is_torus=(True, True), metric_tensor=object()))


def their_conv(**settings: Any) -> SimpleNamespace:
    """The attributes of a `ConvContract` that say how it was built."""
    key = ((), 0)
    filters = SimpleNamespace(data={key: np.ones((1, 3, 3))})
    usual = {"stride": 1, "padding": None, "lhs_dilation": None, "rhs_dilation": (2, 2), "use_bias": "auto", "D": 2}
    made = type("ConvContract", (SimpleNamespace,), {})
    conv: SimpleNamespace = made(
        input_keys=((key, 2),), target_keys=((key, 1),), invariant_filters=filters, **(usual | settings)
    )
    return conv


def test_the_configuration_of_a_convolution_is_what_it_was_built_from() -> None:
    config = interop.configuration(their_conv(), group_named("C4"))
    assert config == specification("conv")["config"] | {
        "group": "C4",
        "in_type": "2x scalar",
        "out_type": "1x scalar",
        "filter_orders": [0],
        "filter_parities": [0],
    }
    assert json.loads(json.dumps(config)) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"padding": "SAME"}, "no equal here"),
        ({"stride": 2}, "no equal here"),
        ({"padding": "VALID"}, "no equal here"),
        ({"lhs_dilation": (2, 2), "padding": ((1, 1), (1, 1))}, "no equal here"),
        ({"rhs_dilation": (1, 2)}, "equal along all axes"),
        ({"use_bias": True}, "without any field"),
        ({"equivariant": False}, "plain network"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_has_no_equal_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        interop.configuration(their_conv(**settings))


def test_other_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="no counterpart"):
        interop.from_ginjax(SimpleNamespace())


LINE = {"group": "B1", "in_type": "1x scalar + 2x vector", "out_type": "1x vector", "hidden": "2x scalar + 1x vector"}


@pytest.mark.parametrize("architecture", ["ResNet", "DilResNet", "UNet", "ConvContract"])
def test_a_live_model_and_its_images_convert(architecture: str) -> None:
    """Needs ginjax, dependency group peers; what it saved has been tested above."""
    geometric = pytest.importorskip("ginjax.geometric")
    from tests.engine.ginjax_reference import make

    start = {"ResNet": make.RESNET, "DilResNet": make.DILATED, "UNet": make.UNET, "ConvContract": make.CONV}
    config: dict[str, Any] = start[architecture] | LINE | {"activation": "gelu", "use_group_norm": False}
    if architecture == "ResNet":
        config["preactivation_order"] = False
    if architecture == "ConvContract":
        config = {name: config[name] for name in (*make.CONV, "group", "in_type", "out_type")}
    model = make.trained(make.build(config, jr.key(0)), jr.key(1))
    assert interop.configuration(model) == config
    theirs = make.image(config["in_type"], (8,), (True,), jr.key(2))
    ours = interop.image_from_ginjax(theirs)
    assert geometric.MultiImage(**interop.ginjax_arguments(ours)) == theirs
    given = eqx.filter_jit(lambda model, image: model(image))(model, theirs)
    given = given[0] if isinstance(given, tuple) else given
    network: Any = interop.from_ginjax(model)
    assert_equal_fields(eqx.filter_jit(network)(ours), given.data)
