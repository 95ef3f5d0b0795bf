"""What the planner says before any weight exists is what the built network turns out to hold, cost and refuse."""

import json
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.extend.core import Jaxpr
from jaxtyping import Array, PRNGKeyArray

from equifield import FieldType, MultiImage
from equifield.groups import group_named
from equifield.inference import BasisFirstConv, DenseConv, cheaper, fold, merge, tune
from equifield.kernels import kernel_basis
from equifield.models import ResNet, UNet
from equifield.multi_image import Boundary, random_image
from equifield.nn import Conv, Dropout, GroupAverage, LayerNorm, Linear, MaxNormPool, Upsample
from equifield.planner import plan
from equifield.planner._cost import costs, peak
from equifield.representations import scalar, vector

B2 = group_named("B2")
FIELDS = FieldType.parse("scalar + vector")
HIDDEN = FieldType.parse("4x scalar + 4x vector")
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
BOX: tuple[Boundary, ...] = ("zero", "mirror")
Build = Callable[[PRNGKeyArray], eqx.Module]
Pair = tuple[int, int]


class Chain(eqx.Module):
    """Layers one after another."""

    layers: tuple[Callable[[MultiImage], MultiImage], ...]

    def __call__(self, image: MultiImage) -> MultiImage:
        for layer in self.layers:
            image = layer(image)
        return image


class Loop(eqx.Module):
    """One layer applied again and again, between a first and a last one."""

    first: Conv
    layer: Conv
    last: Conv
    times: int = eqx.field(static=True)

    def __call__(self, image: MultiImage) -> MultiImage:
        image, _ = jax.lax.scan(lambda x, _: (self.layer(x), None), self.first(image), length=self.times)
        return self.last(image)


def resnet(key: PRNGKeyArray) -> ResNet:
    return ResNet(B2, FIELDS, FIELDS, hidden=HIDDEN, num_blocks=1, key=key)


def unet(key: PRNGKeyArray) -> UNet:
    return UNet(B2, FIELDS, FIELDS, hidden=HIDDEN, num_downsamples=1, key=key)


def hourglass(key: PRNGKeyArray) -> Chain:
    down = Conv(B2, FIELDS, HIDDEN, kernel_size=4, stride=2, key=key)
    up = Conv(B2, HIDDEN, FIELDS, kernel_size=4, stride=2, transposed=True, key=key)
    return Chain((down, Dropout(), MaxNormPool(2), Upsample(2), up))


every_network = pytest.mark.parametrize("build", [resnet, hourglass], ids=["resnet", "hourglass"])


def xla_flops(program: jax.stages.Compiled) -> float:
    """What XLA counts in a compiled program: two for every multiply-add, one for every other number."""
    analysis = program.cost_analysis()
    assert analysis is not None
    return float(analysis["flops"])


def flops_of(function: Callable[..., Array], *arguments: object) -> float:
    return xla_flops(jax.jit(function).lower(*arguments).compile())


def program_of(function: Callable[..., Array], *arguments: object) -> Jaxpr:
    program: Jaxpr = jax.make_jaxpr(function)(*arguments).jaxpr
    return program


def test_a_convolution_costs_what_is_counted_by_hand() -> None:
    found = plan(
        lambda key: Conv(B2, FIELDS, HIDDEN, key=key), FIELDS, grid=(6, 5), boundary=BOX, batch=2, form=DenseConv
    )
    filters = {(s, t): len(kernel_basis(B2, s, t, (3, 3))) for s in (scalar, vector) for t in (scalar, vector)}
    assert found.parameters == 4 * sum(filters.values()) + 4
    assert found.multiply_adds == (2 * 6 * 5) * (3 * 3) * (3 * 12)
    assert found.memory is not None
    assert found.memory.weights == 4 * found.parameters
    assert found.memory.folded == 4 * (3 * 3 * 3 * 12 + 12)
    assert (found.memory.input, found.memory.output) == (4 * 2 * 30 * 3, 4 * 2 * 30 * 12)
    (layer,) = found.layers
    assert layer.filters == tuple((str(s), str(t), number) for (s, t), number in filters.items())
    assert (layer.kind, layer.in_type, layer.out_type) == ("Conv", str(FIELDS), str(HIDDEN))
    assert layer.stencil is not None and layer.stencil.sizes == (3, 3)
    assert (layer.grid, layer.missing, layer.dropped, layer.calls) == ((6, 5), (), (), 1)


@pytest.mark.parametrize(
    ("strides", "padding", "holes", "dilation", "groups"),
    [
        ((2, 1), ((0, 0), (0, 0)), (1, 1), (1, 1), 1),
        ((1, 1), ((2, 0), (1, 1)), (1, 1), (1, 1), 1),
        ((1, 1), ((1, 2), (-1, 0)), (3, 2), (1, 1), 1),
        ((1, 2), ((2, 2), (0, 1)), (1, 1), (2, 1), 1),
        ((1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1), 4),
    ],
    ids=["strided", "padded", "transposed", "dilated", "grouped"],
)
def test_every_kind_of_convolution_is_counted_as_xla_counts_it(
    strides: Pair, padding: tuple[Pair, Pair], holes: Pair, dilation: Pair, groups: int
) -> None:
    def convolve(image: Array, kernel: Array) -> Array:
        return jax.lax.conv_general_dilated(
            image,
            kernel,
            strides,
            padding,
            lhs_dilation=holes,
            rhs_dilation=dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    image, kernel = jnp.ones((2, 9, 8, 4)), jnp.ones((3, 2, 4 // groups, 8))
    counted = costs(program_of(convolve, image, kernel))
    assert 2 * counted["", "multiply_adds"] == flops_of(convolve, image, kernel)


def test_a_product_of_matrices_is_counted_as_xla_counts_it() -> None:
    def multiply(left: Array, right: Array) -> Array:
        return jnp.einsum("bij,bjk->bik", left, right)

    left, right = jnp.ones((3, 4, 5)), jnp.ones((3, 5, 6))
    counted = costs(program_of(jax.jit(multiply), left, right))
    assert 2 * counted["", "multiply_adds"] == 2 * 3 * 4 * 5 * 6 == flops_of(multiply, left, right)


@every_network
def test_a_plan_says_what_the_built_network_holds_and_costs(build: Build) -> None:
    found = plan(build, FIELDS, grid=(16, 8), boundary=TORUS, batch=2)
    network = eqx.nn.inference_mode(build(jr.key(0)))
    folded = eqx.filter_jit(fold)(network)
    leaves, inference = (jax.tree.leaves(eqx.filter(x, eqx.is_array)) for x in (network, folded))
    assert found.memory is not None and found.multiply_adds is not None and found.elementwise is not None
    assert found.parameters == sum(leaf.size for leaf in leaves)
    assert found.memory.weights == sum(leaf.nbytes for leaf in leaves)
    assert found.memory.folded == sum(leaf.nbytes for leaf in inference)

    x = random_image(FIELDS, TORUS, (16, 8), batch=(2,), key=jr.key(1))
    output = jax.eval_shape(folded, x)
    assert (found.out_type, found.out_grid) == (str(output.field_type), output.grid)
    arrays, static = eqx.partition(folded, eqx.is_array)
    program = jax.jit(lambda arrays, x: eqx.combine(arrays, static)(x).array).lower(arrays, x).compile()
    assert 2 * found.multiply_adds + found.elementwise == pytest.approx(xla_flops(program), rel=0.05)
    reserved = program.memory_analysis()
    assert reserved is not None
    assert 1 / 2 < found.memory.activations / (reserved.temp_size_in_bytes + reserved.output_size_in_bytes) < 2


@every_network
def test_the_layers_together_are_the_network(build: Build) -> None:
    found = plan(build, FIELDS, grid=(16, 8), boundary=TORUS)
    assert sum(layer.parameters for layer in found.layers) == found.parameters
    assert sum(layer.multiply_adds or 0 for layer in found.layers) == found.multiply_adds
    assert all(layer.calls == 1 for layer in found.layers)
    assert all(layer.in_type and layer.out_type for layer in found.layers)


def test_a_layer_is_named_by_its_place_and_seen_on_the_grid_where_it_runs() -> None:
    found = plan(lambda key: Chain((hourglass(key), LayerNorm(FIELDS))), FIELDS, grid=(16, 8), boundary=TORUS)
    assert [(layer.place, layer.kind, layer.grid, layer.out_grid, layer.in_type) for layer in found.layers] == [
        ("layers[0].layers[0]", "Conv", (16, 8), (8, 4), str(FIELDS)),
        ("layers[0].layers[1]", "Dropout", (8, 4), (8, 4), str(HIDDEN)),
        ("layers[0].layers[2]", "MaxNormPool", (8, 4), (4, 2), str(HIDDEN)),
        ("layers[0].layers[3]", "Upsample", (4, 2), (8, 4), str(HIDDEN)),
        ("layers[0].layers[4]", "Conv", (8, 4), (16, 8), str(HIDDEN)),
        ("layers[1]", "LayerNorm", (16, 8), (16, 8), str(FIELDS)),
    ]


def test_a_loop_and_an_average_cost_as_often_as_they_run() -> None:
    def build(key: PRNGKeyArray) -> Loop:
        first, layer, last = (
            Conv(B2, *types, key=key) for types in ((FIELDS, HIDDEN), (HIDDEN,) * 2, (HIDDEN, FIELDS))
        )
        return Loop(first, layer, last, times=5)

    once = {layer.place: layer for layer in plan(build, FIELDS, grid=(8, 8), boundary=TORUS, form=DenseConv).layers}
    assert once["layer"].calls == 5
    assert once["layer"].multiply_adds == 5 * 64 * 9 * 12 * 12
    averaged = plan(lambda key: GroupAverage(build(key), B2), FIELDS, grid=(8, 8), boundary=TORUS, form=DenseConv)
    for layer in averaged.layers:
        part = once[layer.place.removeprefix("model.")]
        assert layer.multiply_adds == B2.order * (part.multiply_adds or 0)


def test_of_two_branches_the_dearer_counts() -> None:
    def branch(flag: Array, x: Array) -> Array:
        squared: Array = jax.lax.cond(flag, lambda x: x @ x, lambda x: jnp.tanh(x), x)
        return squared

    counted = costs(program_of(branch, jnp.array(True), jnp.ones((7, 7))))
    assert (counted["", "multiply_adds"], counted["", "elementwise"]) == (7**3, 0)


def test_a_network_larger_than_any_memory_is_planned() -> None:
    huge = FieldType.parse("20000x scalar + 20000x vector")
    found = plan(
        lambda key: ResNet(B2, FIELDS, FIELDS, hidden=huge, num_blocks=3, key=key),
        FIELDS,
        grid=(64, 64),
        boundary=TORUS,
    )
    assert found.problem is None
    assert found.memory is not None and found.memory.weights > 100e9


def test_paths_without_a_filter_and_what_is_lost_on_them_are_named() -> None:
    """What a plan calls lost has indeed no influence; a larger kernel, which has filters for it, is the control."""
    target = FieldType.parse("scalar + tensor(2)")
    point = plan(lambda key: Linear(B2, FIELDS, target, key=key), FIELDS, grid=(8, 8), boundary=TORUS)
    assert point.layers[0].missing == (("vector", "scalar"), ("vector", "tensor(2)"))
    assert point.layers[0].dropped == ("vector",)
    assert "vector -> tensor(2): Linear" in str(point) and "Lost: Linear takes vector" in str(point)
    wide = plan(lambda key: Conv(B2, FIELDS, target, key=key), FIELDS, grid=(8, 8), boundary=TORUS)
    assert (wide.layers[0].missing, wide.layers[0].dropped) == ((), ())
    assert "no filter" not in str(wide)

    x, other = (random_image(FIELDS, TORUS, (8, 8), key=jr.key(seed)) for seed in (0, 1))
    changed = MultiImage.from_fields({scalar: x[scalar], vector: other[vector]}, TORUS)
    for kind, loses in ((Linear, True), (Conv, False)):
        run = jax.jit(lambda image, kind=kind: kind(B2, FIELDS, target, key=jr.key(2))(image).array)
        assert np.array_equal(run(x), run(changed)) == loses


def test_a_grid_that_breaks_the_law_is_a_problem_with_the_grids_that_work() -> None:
    refused = plan(unet, FIELDS, grid=(16, 9), boundary=TORUS)
    assert refused.grids_that_work == ((16, 8), (16, 10))
    assert (refused.multiply_adds, refused.memory, refused.translation_step) == (None, None, 2)
    x = random_image(FIELDS, TORUS, (16, 9), key=jr.key(0))
    with pytest.raises(ValueError) as raised:
        jax.eval_shape(lambda key: unet(key)(x), jr.key(0))
    assert str(raised.value) == refused.problem


def test_the_layer_that_refuses_is_named() -> None:
    def build(key: PRNGKeyArray) -> Chain:
        strided = Conv(B2, FIELDS, FIELDS, stride=2, key=key)
        return Chain((strided, MaxNormPool(2)))

    found = plan(build, FIELDS, grid=(13, 13), boundary=BOX)
    assert found.problem_at == "layers[1]" and f"Problem in layers[1]: {found.problem}" in str(found)
    assert found.grids_that_work == ((11, 11), (15, 15))
    never = plan(build, FIELDS, grid=(13, 13), boundary=TORUS)
    assert (never.problem_at, never.grids_that_work) == ("layers[0]", ())


def test_a_network_that_no_filter_permits_is_a_problem() -> None:
    found = plan(
        lambda key: Linear(B2, FieldType.parse("scalar"), FIELDS, key=key), FIELDS, grid=(8, 8), boundary=TORUS
    )
    assert found.problem is not None and "vector" in found.problem
    assert (found.model, found.layers, found.parameters, found.grids_that_work) == (None, (), None, ())


def test_double_precision_takes_twice_the_memory() -> None:
    single, double = (
        plan(resnet, FIELDS, grid=(8, 8), boundary=TORUS, dtype=dtype) for dtype in ("float32", "float64")
    )
    assert single.memory is not None and double.memory is not None
    assert double.memory.weights == 2 * single.memory.weights
    assert double.memory.activations == 2 * single.memory.activations
    assert double.multiply_adds == single.multiply_adds
    assert jnp.ones(()).dtype == jnp.float32


def test_the_peak_counts_what_exists_at_once() -> None:
    x, each = jnp.ones((5, 5)), 100

    def skip(x: Array) -> Array:
        y = jnp.sin(x)
        return y + jnp.cos(jnp.cos(jnp.cos(y)))

    def repeated(x: Array) -> Array:
        kept, stacked = jax.lax.scan(lambda x, _: (skip(x), x), x, length=4)
        return kept + jnp.sum(stacked, axis=0)

    assert peak(program_of(lambda x: jnp.cos(jnp.cos(jnp.sin(x))), x)) == 2 * each
    assert peak(program_of(skip, x)) == peak(program_of(jax.jit(skip), x)) == 3 * each
    assert peak(program_of(repeated, x)) == (1 + 4 + 3) * each


def test_the_form_of_every_layer_is_the_one_it_folds_to_with_its_reason() -> None:
    network = eqx.nn.inference_mode(hourglass(jr.key(0)))
    for form in (None, cheaper, DenseConv):
        found = plan(lambda key: network, FIELDS, grid=(16, 8), boundary=TORUS, form=form)
        folded = fold(network, form)
        for layer, held in zip(found.layers, folded.layers, strict=True):
            assert layer.bytes == sum(leaf.nbytes for leaf in jax.tree.leaves(eqx.filter(held, eqx.is_array)))
        down, *between, up = found.layers
        taken = "DenseConv" if form is DenseConv else "BasisFirstConv"
        assert [layer.form for layer in found.layers] == [taken, None, None, None, "DenseConv"]
        assert all((layer.reason, layer.time) == (None, None) for layer in between)
        assert up.reason == "transposed: no other form"
        assert down.reason is not None and dict(down.forms)["DenseConv"] == 4 * 4 * 3 * 32, (
            "as dear as one to 32 features"
        )
        assert down.reason.startswith("asked for" if form is DenseConv else "estimated: ")
        assert form is DenseConv or down.reason.endswith(" against 1.54 k")
    sparse = plan(
        lambda key: Conv(B2, FIELDS, FIELDS, key=key), FIELDS, grid=(16, 8), boundary=TORUS, form=BasisFirstConv
    )
    assert (sparse.layers[0].form, sparse.layers[0].reason) == ("BasisFirstConv", "asked for")


def test_measured_times_stand_in_the_plan_and_give_the_reason() -> None:
    network = eqx.nn.inference_mode(hourglass(jr.key(0)))
    tuning = tune(network, random_image(FIELDS, TORUS, (16, 8), key=jr.key(1)))
    found = plan(lambda key: network, FIELDS, grid=(16, 8), boundary=TORUS, form=tuning)
    down, *_, up = found.layers
    for layer, held in ((down, network.layers[0]), (up, network.layers[-1])):
        assert isinstance(held, Conv)
        assert dict(layer.seconds) == {form.__name__: time for form, time in tuning.measured(held).items()}
        assert layer.form == type(tuning(held)).__name__ and layer.time == min(tuning.measured(held).values())
    shorter, longer = sorted(dict(down.seconds).values())
    assert down.reason == f"measured: {1000 * shorter:.2f} ms against {1000 * longer:.2f} ms"
    assert f"{1000 * ((down.time or 0) + (up.time or 0)):.2f} ms" in str(found).split("total")[1].splitlines()[0]
    assert "time" not in str(plan(lambda key: network, FIELDS, grid=(16, 8), boundary=TORUS))
    with pytest.raises(ValueError, match="knows no layer"):
        plan(resnet, FIELDS, grid=(16, 8), boundary=TORUS, form=tuning)


def test_a_plan_shows_what_is_served_with_layers_merged() -> None:
    def build(key: PRNGKeyArray) -> Chain:
        return Chain((Conv(B2, FIELDS, HIDDEN, key=key), Dropout(), Linear(B2, HIDDEN, FIELDS, key=key)))

    found = plan(build, FIELDS, grid=(8, 8), boundary=TORUS, form=DenseConv)
    served = merge(eqx.nn.inference_mode(build(jr.key(0))), random_image(FIELDS, TORUS, (8, 8), key=jr.key(1)))
    gone, _, kept = found.layers
    assert (gone.kind, gone.form, gone.reason, gone.bytes) == ("Conv", None, "merged into layers[2]", 0)
    assert (kept.kind, kept.form, kept.multiply_adds) == ("Conv", "DenseConv", 64 * 9 * 3 * 3)
    assert (kept.in_type, kept.out_type, gone.multiply_adds) == (str(FIELDS), str(FIELDS), 0)
    assert gone.parameters + kept.parameters == found.parameters
    assert found.memory is not None
    assert found.memory.folded == sum(
        leaf.nbytes for leaf in jax.tree.leaves(eqx.filter(fold(served, DenseConv), eqx.is_array))
    )


def test_a_plan_is_json_and_an_aligned_table() -> None:
    found = plan(hourglass, FIELDS, grid=(16, 8), boundary=TORUS)
    read = json.loads(json.dumps(found.to_dict()))
    assert read["layers"][0]["stencil"] == {"sizes": [4, 4], "stride": [2, 2], "dilation": [1, 1], "transposed": False}
    assert read["multiply_adds"] == found.multiply_adds and read["memory"]["weights"] == 4 * read["parameters"]
    assert found.describe() == str(found)
    head, _, *rows = str(found).split("\n\n")[1].splitlines()
    end = head.index("multiply-adds") + len("multiply-adds")
    for row, layer in zip(rows, found.layers, strict=False):
        assert row.startswith(layer.place) and row[end - 8 : end].strip(" kM.0123456789") == "" and row[end] == " "
        assert row.endswith(layer.reason or "B")
    assert rows[-1].startswith("total") and max(map(len, (head, *rows))) <= 160


@pytest.mark.parametrize(
    ("grid", "batch"),
    [((8,), 1), ((8, 0), 1), ((8, 8), 0)],
    ids=["axes and boundaries differ", "no pixels", "no batch"],
)
def test_a_plan_of_nothing_is_refused(grid: tuple[int, ...], batch: int) -> None:
    with pytest.raises(ValueError, match="one boundary per grid axis and positive sides"):
        plan(resnet, FIELDS, grid=grid, boundary=TORUS, batch=batch)
