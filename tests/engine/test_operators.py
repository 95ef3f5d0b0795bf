"""The laws of vector calculus, of symmetry and of convergence, for every operator on every boundary it takes."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from equifield import FieldType, MultiImage, Regular
from equifield.boundary import BOUNDARIES, Boundary
from equifield.groups import flips, hyperoctahedral
from equifield.operators import curl, divergence, gradient, helmholtz_projection, laplacian
from equifield.ops import concatenate, split
from equifield.representations import Representation, Tensor, covector, pseudoscalar, pseudovector, scalar, vector
from tests.engine.laws import assert_commutes, numpy_act

Boundaries = tuple[Boundary, ...]
Sides = tuple[int, ...]
Numbers = Float[np.ndarray, "..."]

LINE: Boundaries = ("periodic",)
SCALARS = FieldType.parse("scalar + 2x pseudoscalar")
TENSORS = FieldType.parse("2x pseudovector + tensor(2)")
STEPS = {3: 0.8, 4: 0.7, 5: 1.3}
"""The spacing of an axis by its number of pixels, so that a group element permutes both alike."""


@pytest.fixture
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def spacing_of(image: MultiImage) -> tuple[float, ...]:
    return tuple(STEPS[side] for side in image.grid)


def random(boundary: Boundaries, sides: Sides, field_type: FieldType = SCALARS + TENSORS) -> MultiImage:
    array = np.random.default_rng(0).standard_normal((2, *sides, field_type.size(len(sides))))
    return MultiImage(jnp.asarray(array), field_type, boundary)


def one_field(tensor: Tensor, values: Numbers, boundary: Boundaries) -> MultiImage:
    """An image of one channel, from `(*grid, *value)`."""
    array = values.reshape(*values.shape[: len(boundary)], -1)
    return MultiImage(jnp.asarray(array), FieldType({tensor: 1}), boundary)


def values(image: MultiImage, representation: Representation) -> Numbers:
    """`image[representation]`, without compiling a view."""
    features = np.asarray(image.array)[..., image.field_type.slices(image.ndim)[representation]]
    channels, value = image.field_type.channels(representation), representation.shape(image.ndim)
    return features.reshape(*features.shape[:-1], channels, *value)


def pixels(sides: Sides, lengths: tuple[float, ...], first: tuple[float, ...]) -> list[Numbers]:
    """Where the pixels lie on each axis, the first one `first` pixels from the origin."""
    each = zip(sides, lengths, first, strict=True)
    return list(np.meshgrid(*((np.arange(n) + start) * length / n for n, length, start in each), indexing="ij"))


def assert_close(actual: Any, expected: Any, by: float = 1e-10) -> None:
    numbers, others = (np.asarray(x.array if isinstance(x, MultiImage) else x) for x in (actual, expected))
    np.testing.assert_allclose(numbers, others, rtol=0, atol=by)


def assert_zero(image: MultiImage, by: float = 1e-10) -> None:
    assert_close(image, np.zeros(image.array.shape), by)


@jax.jit
def every_operator(image: MultiImage) -> MultiImage:
    """All that an image of scalars and tensors can be differentiated into, side by side."""
    steps = spacing_of(image)
    _, tensors = split(image, SCALARS, FieldType(dict(image.field_type.entries[2:])))
    results = [gradient(image, steps), divergence(tensors, steps), laplacian(image, steps)]
    if image.ndim > 1:
        results.append(curl(image if image.ndim == 2 else tensors, steps))
    if set(image.boundary) <= {"periodic", "mirror"}:
        results.append(helmholtz_projection(image, steps))
    return concatenate(*results)


LAWFUL: tuple[tuple[Boundaries, Sides, str, str], ...] = (
    *(((kind,), (5,), "2x pseudovector + tensor(2)", "float64") for kind in BOUNDARIES),
    (("mirror", "mirror"), (5, 5), "2x pseudovector + tensor(2)", "float32"),
    (("zero", "reflect"), (4, 5), "2x pseudovector + tensor(2)", "float64"),
    (("mirror", "mirror", "mirror"), (3, 3, 3), "tensor(2)", "float32"),
    (("replicate", "periodic", "replicate"), (3, 4, 3), "2x pseudovector", "float64"),
)


@pytest.mark.parametrize(
    ("boundary", "sides", "tensors", "precision"), LAWFUL, ids=["-".join((*case[0], case[3])) for case in LAWFUL]
)
def test_every_operator_commutes_with_every_element(
    boundary: Boundaries, sides: Sides, tensors: str, precision: str
) -> None:
    with jax.enable_x64(precision == "float64"):
        image = random(boundary, sides, SCALARS + FieldType.parse(tensors))
        symmetric = np.mean([numpy_act(g, image).array for g in flips(len(boundary))], axis=0, dtype=precision)
        both = jnp.asarray(np.concatenate([image.array[:1], symmetric[1:]]))
        tolerance = {"float32": 1e-5, "float64": 1e-12}[precision]
        assert_commutes(every_operator, image.with_array(both), hyperoctahedral(len(boundary)), tolerance)


def test_the_law_tells_a_wrong_type_and_a_spacing_that_stays() -> None:
    def vorticity_as_a_scalar(image: MultiImage) -> MultiImage:
        return MultiImage(curl(image, spacing_of(image)).array, FieldType({scalar: 1}), image.boundary)

    wind = random(("periodic", "mirror"), (4, 5), FieldType({vector: 1}))
    for wrong in (vorticity_as_a_scalar, lambda image: divergence(image, (0.7, 1.3))):
        with pytest.raises(AssertionError, match="relative error"):
            assert_commutes(jax.jit(wrong), wind, hyperoctahedral(2), 1e-2)


@pytest.mark.usefixtures("double")
def test_types_and_layout_follow_the_formulas() -> None:
    def d(field: Numbers, axis: int) -> Numbers:
        side = field.shape[1 + axis]
        k = 2 * np.pi * np.fft.fftfreq(side, STEPS[side]).reshape(-1, *(1,) * (field.ndim - 2 - axis))
        return np.fft.ifft(1j * k * np.fft.fft(field, axis=1 + axis), axis=1 + axis).real

    @jax.jit
    def results(image: MultiImage) -> tuple[MultiImage, ...]:
        steps = spacing_of(image)
        return gradient(image, steps), divergence(split(image, SCALARS, TENSORS)[1], steps), curl(image, steps)

    x = random(LINE * 2, (3, 5))
    up, down, turned = results(x)
    assert up.field_type == FieldType.parse("vector + 2x pseudovector + 2x pseudotensor(2) + tensor(3)")
    assert down.field_type == FieldType.parse("2x pseudoscalar + vector")
    assert turned.field_type == FieldType.parse("2x scalar + 2x vector + 2x pseudovector")
    columns = {t: np.stack([d(values(x, t), 0), d(values(x, t), 1)], -1) for t in x.field_type.representations}
    for tensor, column in columns.items():
        assert isinstance(tensor, Tensor)
        assert_close(values(up, Tensor(tensor.order + 1, tensor.parity)), column)
        if tensor.order:
            lower = Tensor(tensor.order - 1, tensor.parity)
            assert_close(values(down, lower), column[..., 0, 0] + column[..., 1, 1])
    of_vectors, of_scalars = columns[pseudovector], columns[pseudoscalar]
    assert_close(values(turned, scalar), of_vectors[..., 1, 0] - of_vectors[..., 0, 1])
    assert_close(values(turned, vector), np.stack([of_scalars[..., 1], -of_scalars[..., 0]], -1))


def test_lower_indices_stay_where_they_are() -> None:
    def results(image: MultiImage) -> tuple[MultiImage, ...]:
        return gradient(image), divergence(image), curl(image)

    mixed = random(LINE * 2, (3, 5), FieldType({vector: 1, covector: 1, Tensor(2, 0, (True, False)): 1}))
    up, down, turned = jax.eval_shape(results, mixed)
    assert up.field_type == FieldType.parse("tensor(2) + tensor(du) + tensor(duu)")
    assert down.field_type == FieldType.parse("2x scalar + covector")
    assert turned.field_type == FieldType.parse("2x pseudoscalar + pseudocovector")


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("boundary", [("mirror", "reflect"), ("periodic", "mirror", "replicate")], ids="-".join)
def test_the_curl_of_a_gradient_and_the_divergence_of_a_curl_vanish(boundary: Boundaries) -> None:
    @jax.jit
    def results(potential: MultiImage, field: MultiImage) -> tuple[MultiImage, ...]:
        steps = spacing_of(field)
        turning = curl(field, steps)
        return turning, divergence(turning, steps), curl(gradient(potential, steps), steps)

    sides = (4, 5, 3)[: len(boundary)]
    potential, flow = (random(boundary, sides, FieldType({t: 1})) for t in (scalar, pseudovector))
    turning, source, swirl = results(potential, potential if len(boundary) == 2 else flow)
    assert np.abs(turning.array).max() > 0.1
    assert_zero(source)
    assert_zero(swirl)


@pytest.mark.usefixtures("double")
def test_second_derivatives_agree_on_spectral_axes() -> None:
    @jax.jit
    def results(x: MultiImage) -> tuple[MultiImage, ...]:
        steps = spacing_of(x)
        outer = gradient(divergence(x, steps), steps)
        return divergence(gradient(x, steps), steps), laplacian(x, steps), curl(curl(x, steps), steps), outer

    x = random(("mirror", "periodic", "periodic"), (4, 5, 3), FieldType({vector: 1}))
    nyquist = np.array([1.0, -1, 1, -1]).reshape(4, 1, 1, 1)  # of the component normal to the mirrors
    array = np.asarray(x.array)
    inner, laplacians, twice, outer = results(
        x.with_array(jnp.asarray(array - nyquist * np.mean(nyquist * array, axis=1, keepdims=True)))
    )
    assert_close(inner, laplacians)
    assert_close(twice, np.asarray(outer.array) - np.asarray(laplacians.array))


def test_the_nyquist_mode_has_a_second_derivative_and_no_first() -> None:
    checkers = np.array([1.0, -1, 1, -1])
    image = one_field(scalar, checkers, LINE)
    assert_zero(gradient(image, (0.5,)), by=0)
    assert_close(laplacian(image, (0.5,)).array[:, 0], -((np.pi / 0.5) ** 2) * checkers, by=1e-4)


@pytest.mark.usefixtures("double")
def test_taylor_green_vortices_between_walls() -> None:
    @jax.jit
    def results(stream: MultiImage, pressure: MultiImage) -> tuple[MultiImage, ...]:
        steps = (np.pi / 6, 2 * np.pi / 9)
        wind, force = curl(stream, steps), gradient(pressure, steps)
        projected = helmholtz_projection(wind + force, steps)
        return wind, force, projected, curl(wind, steps), divergence(wind, steps), laplacian(pressure, steps)

    x, y = pixels((6, 9), (np.pi, 2 * np.pi), (0.5, 0.0))
    walls: Boundaries = ("mirror", "periodic")
    swirl = np.sin(x) * np.sin(y)
    stream, pressure = one_field(pseudoscalar, swirl, walls), one_field(scalar, np.cos(x) + np.cos(2 * y), walls)
    wind, force, projected, vorticity, source, curvature = results(stream, pressure)
    assert_close(wind, np.stack([np.sin(x) * np.cos(y), -np.cos(x) * np.sin(y)], axis=-1))
    assert_close(force, np.stack([-np.sin(x), -2 * np.sin(2 * y)], axis=-1))
    assert_close(projected, wind)
    assert_close(values(vorticity, pseudoscalar)[..., 0], 2 * swirl)
    assert_zero(source)
    assert_close(values(curvature, scalar)[..., 0], -np.cos(x) - 4 * np.cos(2 * y))


@pytest.mark.usefixtures("double")
def test_the_abc_flow_is_its_own_vorticity() -> None:
    @jax.jit
    def results(flow: MultiImage) -> tuple[MultiImage, ...]:
        steps = (2 * np.pi / 5, 2 * np.pi / 6, 2 * np.pi / 7)
        return curl(flow, steps), laplacian(flow, steps), helmholtz_projection(flow, steps)

    x, y, z = pixels((5, 6, 7), (2 * np.pi,) * 3, (0.0,) * 3)
    a, b, c = 1.0, 0.7, 0.4
    flow = np.stack(
        [a * np.sin(z) + c * np.cos(y), b * np.sin(x) + a * np.cos(z), c * np.sin(y) + b * np.cos(x)], axis=-1
    )
    vorticity, curvature, projected = results(one_field(vector, flow, LINE * 3))
    assert vorticity.field_type == FieldType({pseudovector: 1})
    assert_close(vorticity, flow)
    assert_close(curvature, -flow)
    assert_close(projected, flow)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(
    ("boundary", "tensors"),
    [(LINE * 2, "vector + tensor(2)"), (("mirror", "periodic", "mirror"), "vector")],
    ids=["torus", "walls"],
)
def test_the_projection_splits_orthogonally(boundary: Boundaries, tensors: str) -> None:
    kept, vectors = FieldType({scalar: 1}), FieldType.parse(tensors)

    @jax.jit
    def results(x: MultiImage) -> tuple[MultiImage, ...]:
        steps = spacing_of(x)
        free = helmholtz_projection(x, steps)
        rest = x - free
        source = divergence(split(free, kept, vectors)[1], steps)
        swirl = curl(split(rest, kept, vectors)[1], steps)
        return free, rest, source, swirl, helmholtz_projection(free, steps)

    x = random(boundary, (4, 5, 3)[: len(boundary)], kept + vectors)
    free, rest, source, swirl, again = results(x)
    assert_close(values(free, scalar), values(x, scalar), by=0)
    assert_zero(source)
    assert_zero(swirl)
    assert_close(again, free)
    for tensor in vectors.representations:
        products = np.sum(values(free, tensor) * values(rest, tensor), axis=(*x.grid_axes, -1))
        assert_close(products, np.zeros_like(products))
        assert np.abs(values(rest, tensor)).max() > 0.1
    if set(boundary) == {"periodic"}:
        flow, mean_flow = (np.mean(np.asarray(image.array), axis=x.grid_axes) for image in (free, x))
        assert_close(flow, mean_flow)


@pytest.mark.parametrize("ndim", [1, 4])
def test_the_projection_works_in_one_and_four_dimensions(ndim: int) -> None:
    @jax.jit
    def results(x: MultiImage) -> tuple[MultiImage, ...]:
        free = helmholtz_projection(x)
        return free, divergence(free)

    x = random(LINE * ndim, (3,) * ndim, FieldType({vector: 1}))
    free, source = results(x)
    assert_zero(source, by=1e-5)
    flow, mean_flow = (np.mean(np.asarray(image.array), axis=x.grid_axes) for image in (free, x))
    assert_close(flow, mean_flow, by=1e-6)


@pytest.mark.parametrize("kind", ["zero", "reflect", "replicate"])
def test_differences_use_the_values_that_the_boundary_says(kind: Boundary) -> None:
    line = np.array([1.0, 3.0, 4.0, 9.0])
    before, after = {"zero": (0.0, 0.0), "reflect": (3.0, 4.0), "replicate": (1.0, 9.0)}[kind]
    longer = np.array([before, *line, after])
    image = one_field(vector, line[:, None], (kind,))
    assert_close(np.asarray(divergence(image, (0.5,)).array)[:, 0], longer[2:] - longer[:-2], by=1e-6)
    assert_close(np.asarray(laplacian(image, (0.5,)).array)[:, 0], 4 * np.diff(longer, n=2), by=1e-5)


def test_a_mirror_is_its_mirror_image_on_a_torus() -> None:
    @jax.jit
    def results(image: MultiImage) -> tuple[MultiImage, ...]:
        return tuple(operator(image, (0.5,)) for operator in (gradient, laplacian, helmholtz_projection))

    half = random(("mirror",), (5,), FieldType({scalar: 1, vector: 1}))
    array = np.asarray(half.array)
    doubled = np.concatenate([array, array[:, ::-1] * np.array([1, -1], array.dtype)], axis=1)
    whole = MultiImage(jnp.asarray(doubled), half.field_type, LINE)
    for of_half, of_whole in zip(results(half), results(whole), strict=True):
        assert_close(of_half, np.asarray(of_whole.array)[:, :5], by=1e-4)


FIRST: dict[Boundary, float] = {"zero": 1.0, "reflect": 0.0, "replicate": 0.5}
"""How far in pixels the first one lies from the end of half a wave that the boundary continues smoothly."""


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("kind", FIRST)
def test_differences_converge_with_order_two(kind: Boundary) -> None:
    errors = []
    for side in (8, 16, 32):
        step = 1 / (side - 1 + 2 * FIRST[kind])
        x = np.pi * (np.arange(side) + FIRST[kind]) * step
        wave, slope = (np.sin(x), np.cos(x)) if kind == "zero" else (np.cos(x), -np.sin(x))
        results = jax.jit(lambda image, step=step: (gradient(image, (step,)), laplacian(image, (step,))))
        first, second = (np.asarray(x.array)[:, 0] for x in results(one_field(scalar, wave, (kind,))))
        errors.append((step, np.abs(first - np.pi * slope).max(), np.abs(second + np.pi**2 * wave).max()))
    steps, *of_operators = np.log(np.array(errors)).T
    for error in of_operators:
        order, _ = np.polyfit(steps, error, 1)
        assert abs(order - 2) < 0.1


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("kind", ["periodic", "mirror"])
def test_spectral_derivatives_of_a_smooth_field_leave_rounding_errors(kind: Boundary) -> None:
    side, length = (32, 2 * np.pi) if kind == "periodic" else (16, np.pi)
    (x,) = pixels((side,), (length,), (0.5,))
    field = np.exp(np.cos(x))
    image = one_field(scalar, field, (kind,))
    assert_close(values(gradient(image, (length / side,)), vector)[:, 0, 0], -np.sin(x) * field)
    assert_close(values(laplacian(image, (length / side,)), scalar)[:, 0], (np.sin(x) ** 2 - np.cos(x)) * field)


@pytest.mark.parametrize("boundary", [("periodic", "mirror"), ("reflect", "replicate")], ids="-".join)
def test_a_constant_has_no_derivative_at_all(boundary: Boundaries) -> None:
    @jax.jit
    def results(image: MultiImage) -> tuple[MultiImage, ...]:
        return tuple(operator(image, (0.7, 1.3)) for operator in (gradient, laplacian, curl))

    for result in results(one_field(scalar, np.full((4, 5), 288.15), boundary)):
        assert_zero(result, by=0)


def test_a_uniform_flow_on_a_torus_is_kept_to_the_bit() -> None:
    flow = one_field(vector, np.full((4, 5, 2), 288.15), LINE * 2)
    assert_close(jax.jit(helmholtz_projection)(flow), flow, by=0)


def test_every_batch_axis_is_treated_alike() -> None:
    image = random(("mirror",), (5,))
    assert_close(jax.vmap(every_operator)(image), every_operator(image), by=1e-4)


@pytest.mark.parametrize("kind", ["mirror", "zero"])
def test_gradients_are_finite_on_random_zero_and_constant_fields(kind: Boundary) -> None:
    @jax.jit
    @jax.grad
    def slope(array: Float[Array, "batch x features"]) -> Float[Array, ""]:
        return jnp.sum(jnp.square(every_operator(image.with_array(array)).array))

    image = random((kind,), (5,))
    for array in (image.array, np.zeros_like(image.array), np.ones_like(image.array)):
        assert np.isfinite(slope(jnp.asarray(array))).all()


@pytest.mark.parametrize("kind", ["mirror", "zero"])
def test_half_precision_is_computed_in_float32(kind: Boundary) -> None:
    image = random((kind,), (5,))
    half = np.asarray(image.array).astype(jnp.bfloat16)
    rounded, exact = (every_operator(image.with_array(jnp.asarray(x))) for x in (half, half.astype(np.float32)))
    np.testing.assert_array_equal(rounded.array, np.asarray(exact.array).astype(jnp.bfloat16))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_the_precision_of_the_input_is_kept(precision: str) -> None:
    image = random(("mirror", "zero"), (4, 5))
    image = image.with_array(jnp.asarray(np.asarray(image.array).astype(jnp.dtype(precision))))
    assert jax.eval_shape(every_operator, image).array.dtype == jnp.dtype(precision)


FLAT = LINE * 2
REFUSED: dict[str, tuple[Callable[..., MultiImage], str, Boundaries, tuple[float, ...] | None, str]] = {
    "divergence of a scalar": (divergence, "scalar + vector", FLAT, None, "of order 1 or more.*carries scalar"),
    "curl of a scalar in space": (curl, "pseudoscalar", LINE * 3, None, "of order 1 or more on 3 axes"),
    "curl on a line": (curl, "vector", LINE, None, "two or three grid axes, but this one has 1"),
    "gradient of no tensor": (gradient, "regular(B2) + scalar", FLAT, None, r"carries regular\(B2\).*ops.split"),
    "projection of scalars": (helmholtz_projection, "scalar", FLAT, None, "needs vectors"),
    "projection at zero": (helmholtz_projection, "vector", ("periodic", "zero"), None, "axis 1, which is 'zero'"),
    "projection at reflect": (helmholtz_projection, "vector", ("reflect",), None, "work: 'periodic', and 'mirror'"),
    "projection at replicate": (helmholtz_projection, "vector", ("replicate",), None, "axis 0, which is 'replicate'"),
    "too few steps": (gradient, "scalar", FLAT, (1.0,), "one positive length per grid axis, 2"),
    "a step of zero": (divergence, "vector", FLAT, (1.0, 0.0), "positive length"),
    "a step that is no number": (curl, "vector", FLAT, (1.0, float("nan")), "positive length"),
    "a negative step": (laplacian, "scalar", FLAT, (1.0, -1.0), "positive length"),
    "an endless step": (helmholtz_projection, "vector", FLAT, (1.0, float("inf")), "positive length"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_with_what_can(case: str) -> None:
    operator, fields, boundary, spacing, message = REFUSED[case]
    image = random(boundary, (3,) * len(boundary), FieldType.parse(fields))
    with pytest.raises(ValueError, match=message):
        operator(image, spacing)


def test_the_laplacian_takes_every_representation() -> None:
    @jax.jit
    def diffused(image: MultiImage) -> MultiImage:
        return laplacian(image, spacing_of(image))

    group = hyperoctahedral(1)
    assert_commutes(diffused, random(("mirror",), (5,), FieldType({Regular(group): 1})), group, 1e-5)
