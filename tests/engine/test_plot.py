"""Pictures show the data they were given, in the right place and direction, and spectra obey Parseval's theorem."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from jaxtyping import Array, PRNGKeyArray
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection, LineCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.quiver import Quiver

from equifield import FieldType, MultiImage, Tensor
from equifield.groups import hyperoctahedral
from equifield.multi_image import Boundary, random_image
from equifield.plot import (
    fields,
    lines,
    power_spectrum,
    scalars,
    spectra,
    tensors,
    vectors,
    vectors_over_scalars,
    vectors_over_speed,
)
from equifield.representations import scalar, vector

from .laws import alike, numpy_act, stacked

Keys = Callable[[], PRNGKeyArray]
TORUS: tuple[Boundary, ...] = ("periodic",) * 4
X, Y = np.linspace(0.0, 3.5, 8), np.linspace(0.0, 2.0, 5)


@pytest.fixture
def axes() -> Iterator[Axes]:
    figure, axes = plt.subplots(figsize=(4, 4), dpi=50)
    yield axes
    plt.close(figure)


def drawn(figure: Figure) -> np.ndarray:
    """The picture as Agg renders it, `[x to the right, y upwards]`, 1 where there is ink."""
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].mean(axis=-1)  # type: ignore[attr-defined]
    return np.where(pixels[::-1].T < 128, 1.0, 0.0)


def shown(image: ScalarMappable) -> np.ndarray:
    """The values behind a coloured image, `[x, y]`."""
    return np.asarray(image.get_array()).T


def components(quiver: Quiver) -> np.ndarray:
    """The vectors that a quiver shows, `(arrows, 2)`."""
    return np.stack([np.asarray(quiver.U), np.asarray(quiver.V)], axis=-1)


compiled_spectrum = eqx.filter_jit(power_spectrum)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def test_matplotlib_is_imported_when_a_picture_is_drawn_and_not_before() -> None:
    code = """if True:
        import sys, equifield.plot as plot, jax.numpy as jnp
        from equifield import FieldType, MultiImage
        print("matplotlib" in sys.modules)
        plot.fields(MultiImage(jnp.ones((3, 3, 1)), FieldType.parse("scalar"), ("zero", "zero")))
        print("matplotlib" in sys.modules)
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.stdout.split() == ["False", "True"], result.stderr


# Scalars


@pytest.mark.parametrize("flipped", [False, True], ids=["upwards", "downwards"])
def test_an_even_grid_is_an_image_of_the_values_in_its_extent(flipped: bool, axes: Axes) -> None:
    values = random(8, 5)
    y, given = (Y[::-1], values[:, ::-1]) if flipped else (Y, values)
    image = scalars(axes, X, y, given)
    assert isinstance(image, AxesImage)
    assert np.array_equal(shown(image), values)
    assert np.allclose(image.get_extent(), (-0.25, 3.75, -0.25, 2.25))
    assert axes.get_xlim()[0] < axes.get_xlim()[1] and axes.get_ylim()[0] < axes.get_ylim()[1]


def test_an_uneven_grid_keeps_its_places(axes: Axes) -> None:
    uneven, values = np.array([0.0, 1.0, 3.0, 7.0]), random(4, 5)
    mesh = scalars(axes, uneven, Y, values)
    assert isinstance(mesh, QuadMesh) and np.array_equal(shown(mesh), values)
    assert np.allclose(np.asarray(mesh.get_coordinates())[0, :, 0], [-0.5, 0.5, 2.0, 5.0, 9.0])


def test_axis_0_runs_to_the_right_and_axis_1_upwards(axes: Axes) -> None:
    values = np.ones((8, 5))
    values[6, 1] = 0.0
    scalars(axes, X, Y, values).set_cmap("gray")
    axes.axis("off")
    ink = drawn(axes.figure)  # type: ignore[arg-type]
    centre = [np.average(np.arange(side), weights=ink.sum(axis=1 - i)) for i, side in enumerate(ink.shape)]
    expected = axes.transData.transform((X[6], Y[1]))
    assert np.abs(np.array(centre) - expected).max() < 3


LIMITS: dict[str, tuple[list[float], tuple[float, float], str]] = {
    "both-signs": ([-1.0, 3.0], (-3.0, 3.0), "RdBu_r"),
    "positive": ([2.0, 3.0], (2.0, 3.0), "viridis"),
    "constant": ([2.0, 2.0], (0.0, 2.0), "viridis"),
    "negative-constant": ([-2.0, -2.0], (-2.0, 0.0), "viridis"),
    "zero": ([0.0, 0.0], (0.0, 1.0), "viridis"),
    "infinite-and-missing": ([np.nan, 3.0, np.inf, 2.0], (2.0, 3.0), "viridis"),
    "nothing": ([np.nan, np.inf], (0.0, 1.0), "viridis"),
}


@pytest.mark.parametrize("case", LIMITS)
def test_colours_diverge_about_zero_where_there_are_both_signs(case: str, axes: Axes) -> None:
    values, limits, colours = LIMITS[case]
    image = scalars(axes, np.arange(float(len(values))), np.zeros(1), np.array(values)[:, None])
    assert image.get_clim() == limits and image.get_cmap().name == colours
    hidden = np.ma.getmaskarray(np.ma.asarray(image.get_array()))
    assert np.array_equal(hidden[0], ~np.isfinite(values))
    drawn(axes.figure)  # type: ignore[arg-type]


# Vectors


@pytest.mark.parametrize("direction", [(1, 0), (-1, 0), (0, 1), (0, -1)], ids=["right", "left", "up", "down"])
def test_an_arrow_points_where_the_vector_does(direction: tuple[int, int], axes: Axes) -> None:
    one = np.ones((1, 1))
    vectors(axes, np.zeros(1), np.zeros(1), direction[0] * one, direction[1] * one)
    axes.set(xlim=(-1, 1), ylim=(-1, 1))
    axes.axis("off")
    ink = drawn(axes.figure)  # type: ignore[arg-type]
    centre = axes.transData.transform((0.0, 0.0))
    head = np.argwhere(ink).mean(axis=0) + 0.5 - centre
    along, across = head[abs(direction[1])] * sum(direction), head[abs(direction[0])]
    assert along > 4 * abs(across) and along > 1


def test_arrows_are_the_vectors_at_every_so_many_pixels(axes: Axes) -> None:
    u, v = random(2, 100, 40)
    u[13, 5] = np.nan
    quiver = vectors(axes, np.arange(100.0), 10.0 + np.arange(40.0), u, v, arrows=20)
    places = np.asarray(quiver.get_offsets(), int)
    assert set(np.diff(np.unique(places[:, 0]))) == set(np.diff(np.unique(places[:, 1]))) == {5}
    assert len(places) <= 20 * 8
    assert np.array_equal(components(quiver), np.stack([u, v], axis=-1)[places[:, 0], places[:, 1] - 10])


def test_arrows_are_evenly_spaced_in_space_when_pixels_are_not_square(axes: Axes) -> None:
    quiver = vectors(axes, np.arange(100.0), 4.0 * np.arange(25.0), *random(2, 100, 25), arrows=25)
    places = np.asarray(quiver.get_offsets())
    assert set(np.diff(np.unique(places[:, 0]))) == set(np.diff(np.unique(places[:, 1]))) == {4.0}


def test_the_largest_arrow_fixes_the_scale_so_that_pictures_compare(axes: Axes) -> None:
    u, v = random(2, 8, 5)
    one, half = vectors(axes, X, Y, u, v), vectors(axes, X, Y, u, v, largest=2 * float(np.hypot(u, v).max()))
    assert one.scale is not None and half.scale == pytest.approx(2 * one.scale)


def test_arrows_lie_over_the_scalar_or_the_speed(axes: Axes) -> None:
    u, v = random(2, 8, 5)
    over = vectors_over_scalars(axes, X, Y, u, v, u)
    assert np.array_equal(shown(over), u) and over.get_clim() == (-np.abs(u).max(), np.abs(u).max())
    speed = vectors_over_speed(axes, X, Y, u, v, largest=4.0)
    assert np.array_equal(shown(speed), np.hypot(u, v)) and speed.get_clim() == (0.0, 4.0)
    still = vectors_over_speed(axes, X, Y, 0 * u, 0 * v)
    assert still.get_clim() == (0.0, 1.0)


# Tensors of order 2


def test_ellipses_are_the_eigenvalues_and_eigenvectors_of_the_symmetric_part(axes: Axes) -> None:
    given = random(8, 5, 2, 2)
    given[0, 0] = np.nan
    ellipses = tensors(axes, X, Y, given)
    symmetric = (given + given.swapaxes(-1, -2)).reshape(-1, 2, 2)[1:] / 2
    values, directions = np.linalg.eigh(symmetric)
    rotations = (given[..., 1, 0] - given[..., 0, 1]).reshape(-1)[1:] / 2
    unit = 0.5 / max(np.abs(values).max(), np.abs(rotations).max())
    assert np.allclose(ellipses.get_widths(), unit * np.abs(values[:, 1]))
    assert np.allclose(ellipses.get_heights(), unit * np.abs(values[:, 0]))
    angles = np.radians(ellipses.get_angles())
    aligned = np.cos(angles) * directions[:, 0, 1] + np.sin(angles) * directions[:, 1, 1]
    assert np.allclose(np.abs(aligned), 1.0)
    assert np.allclose(ellipses.get_offsets(), np.stack(np.meshgrid(X, Y, indexing="ij"), -1).reshape(-1, 2)[1:])
    left, right = (c for c in axes.collections if isinstance(c, EllipseCollection) and c is not ellipses)
    assert np.allclose(left.get_widths(), unit * rotations[rotations > 0])
    assert np.allclose(right.get_widths(), unit * -rotations[rotations < 0])
    crosses = [c for c in axes.collections if isinstance(c, LineCollection)]
    assert [len(c.get_segments()) for c in crosses] == [len(values)] * 2


def test_an_ellipse_is_drawn_along_its_eigenvector(axes: Axes) -> None:
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    tensors(axes, np.zeros(1), np.zeros(1), (turn @ np.diag([1.0, 0.25]) @ turn.T)[None, None])
    axes.axis("off")
    places = np.argwhere(drawn(axes.figure))  # type: ignore[arg-type]
    values, directions = np.linalg.eigh(np.cov(places.T))
    assert np.arctan(directions[1, 1] / directions[0, 1]) == pytest.approx(angle, abs=0.05)
    assert np.sqrt(values[1] / values[0]) > 2


def test_a_rotation_without_strain_is_a_disc_and_a_strain_without_rotation_has_none(axes: Axes) -> None:
    left = np.array([[0.0, -1.0], [1.0, 0.0]])
    strain = np.array([[1.0, 0.0], [0.0, -1.0]])
    tensors(axes, np.arange(2.0), np.zeros(1), np.stack([left, strain])[:, None])
    to_left, to_right, ellipses = (c for c in axes.collections if isinstance(c, EllipseCollection))
    assert np.allclose(to_left.get_widths(), [1.0]) and np.allclose(to_left.get_offsets(), 0.0)
    assert np.size(to_right.get_widths()) == 0
    assert np.allclose(ellipses.get_widths(), [0.0, 1.0])


# Whole images


def test_every_channel_is_a_column_and_every_member_of_the_batch_a_row(getkey: Keys) -> None:
    field_type = FieldType.parse("2x scalar + vector + tensor(2) + tensor(3) + regular(B2)")
    image = random_image(field_type, TORUS[:2], (6, 4), batch=(2,), key=getkey())
    figure = fields(image, spacing=(0.5, 1.0), rows=["before", "after"])
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["scalar[0]", "scalar[1]", "vector[0]", "tensor(2)[0]", "tensor(3)[0]", "regular(B2)[0]"]
    top, bottom = figure.axes[:6], figure.axes[6:12]
    assert top[0].get_ylabel() == "before\ny" and bottom[0].get_ylabel() == "after\ny"
    for member, row in enumerate((top, bottom)):
        for channel in range(2):
            assert np.allclose(shown(row[channel].images[0]), image[scalar][member, ..., channel])
        norm = np.linalg.norm(image[Tensor(3)][member, ..., 0, :, :, :].reshape(6, 4, 8), axis=-1)
        assert np.allclose(shown(row[4].images[0]), norm)
        (quiver,) = (c for c in row[2].collections if isinstance(c, Quiver))
        assert np.allclose(components(quiver), image[vector][member, ..., 0, :].reshape(-1, 2))
    assert all(a.images[0].get_clim() == b.images[0].get_clim() for a, b in zip(top[:3], bottom[:3], strict=True))
    ink = drawn(figure)
    assert not ink[[0, -1]].any() and not ink[:, [0, -1]].any(), "something is cut at the edge"
    plt.close(figure)


def test_a_plane_of_space_shows_arrows_in_it_over_the_component_across_it(getkey: Keys) -> None:
    image = random_image(FieldType.parse("vector"), TORUS[:3], (6, 4, 5), key=getkey())
    for cut, inside, across, at in (({1: 3}, (0, 2), 1, "y = 1.5"), (None, (0, 1), 2, "z = 1")):
        figure = fields(image, spacing=(0.5, 0.5, 0.5), cut=cut)
        values = np.asarray(image[vector][..., 0, :]).take(3 if cut else 2, axis=1 if cut else 2)
        assert np.allclose(shown(figure.axes[0].images[0]), values[..., across])
        (quiver,) = (c for c in figure.axes[0].collections if isinstance(c, Quiver))
        assert np.allclose(components(quiver), values[..., inside].reshape(-1, 2))
        assert figure.get_suptitle() == at
        plt.close(figure)


def test_a_line_shows_every_component(getkey: Keys) -> None:
    image = random_image(FieldType.parse("scalar + vector"), TORUS[:2], (6, 4), key=getkey())
    figure = fields(image, cut={1: 2}, titles=["pressure", "velocity"])
    pressure, velocity = figure.axes[:2]
    assert np.allclose(pressure.lines[0].get_ydata(), image[scalar][:, 2, 0])
    assert np.allclose(np.array([line.get_ydata() for line in velocity.lines]), image[vector][:, 2, 0].T)
    assert pressure.get_title() == "pressure" and velocity.get_ylim() != pressure.get_ylim()
    plt.close(figure)


PLANE = MultiImage(jnp.zeros((3, 4, 5, 1)), FieldType.parse("scalar"), TORUS[:3])
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "cut-nothing": (lambda: fields(PLANE, cut={}), r"one or two axes of the grid \(3, 4, 5\)"),
    "cut-all": (lambda: fields(PLANE, cut={0: 0, 1: 0, 2: 0}), "one or two axes"),
    "cut-outside": (lambda: fields(PLANE, cut={2: 5}), "cut={2: 5} does not leave that"),
    "too-few-titles": (lambda: fields(PLANE, titles=[]), "draws 1 titles here, but was given the names of 0"),
    "too-many-labels": (lambda: lines(plt.figure().subplots(), X, random(1, 8), labels=["a", "b"]), "1 lines need"),
    "spacing": (lambda: power_spectrum(PLANE, spacing=(1.0, 1.0)), "one positive spacing per axis, 3 of them"),
    "no-length": (lambda: power_spectrum(PLANE, spacing=(1.0, 0.0, 1.0)), "one positive spacing per axis"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_drawn_is_refused_with_the_way_out(case: str) -> None:
    call, said = REFUSED[case]
    with pytest.raises(ValueError, match=said):
        call()
    plt.close("all")


# Spectra


@pytest.mark.parametrize("grid", [(12,), (6, 5), (4, 3, 5), (2, 3, 2, 4)], ids=["1d", "2d", "3d", "4d"])
def test_the_powers_sum_to_the_variance(grid: tuple[int, ...], getkey: Keys) -> None:
    field_type = FieldType.parse("2x scalar + vector")
    image = random_image(field_type, TORUS[: len(grid)], grid, batch=(2,), key=getkey())
    _, power = compiled_spectrum(image, spacing=tuple(0.5 + axis for axis in range(len(grid))))
    pixels = tuple(range(1, 1 + len(grid)))
    scalar_variance = np.asarray(image[scalar], np.float64).var(axis=pixels)
    vector_variance = np.asarray(image[vector], np.float64).var(axis=pixels).sum(axis=-1)
    variance = np.concatenate([scalar_variance, vector_variance], axis=-1)
    assert power.shape[:2] == (2, 3)
    np.testing.assert_allclose(power.sum(axis=-1), variance, rtol=1e-5)


@pytest.mark.parametrize(
    ("grid", "spacing"), [((6, 4), (0.5, 0.7)), ((4, 4, 4), (1.0, 1.0, 1.0))], ids=["unequal-plane", "cube"]
)
def test_no_rotation_or_reflection_changes_a_spectrum(
    grid: tuple[int, ...], spacing: tuple[float, ...], getkey: Keys
) -> None:
    group = hyperoctahedral(len(grid))
    image = random_image(FieldType.parse("pseudoscalar + vector + tensor(2)"), TORUS[: len(grid)], grid, key=getkey())
    _, expected = compiled_spectrum(image, spacing=spacing)
    for elements in alike(image, group):
        turned = stacked([numpy_act(g, image) for g in elements])
        _, power = compiled_spectrum(turned, spacing=elements[0].permute(spacing))
        np.testing.assert_allclose(power, np.broadcast_to(expected, power.shape), rtol=1e-4, atol=1e-7)
    if len(set(spacing)) > 1:
        _, wrong = compiled_spectrum(turned, spacing=spacing)
        assert wrong.shape != power.shape or not np.allclose(wrong, power, rtol=1e-2), "control: the spacing counts"


def test_a_wave_lies_in_the_shell_of_its_wavenumber() -> None:
    x, y = np.meshgrid(0.25 * np.arange(16), 0.5 * np.arange(12), indexing="ij")  # a box of 4 x 6
    wave = 3.0 + 2.0 * np.cos(2 * np.pi * (x / 4 + y / 6))
    image = MultiImage(jnp.asarray(wave, jnp.float32)[..., None], FieldType.parse("scalar"), TORUS[:2])
    wavenumber, power = compiled_spectrum(image, spacing=(0.25, 0.5))
    length = np.hypot(2 * np.pi / 4, 2 * np.pi / 6)
    nearest = int(np.abs(wavenumber - length).argmin())
    assert np.allclose(np.diff(wavenumber), 2 * np.pi / 6)
    assert power[0, nearest] == pytest.approx(2.0, rel=1e-5) and power.sum() == pytest.approx(2.0, rel=1e-5)


def test_a_spectrum_works_under_jit_and_grad_and_in_half_precision(getkey: Keys) -> None:
    image = random_image(FieldType.parse("vector"), TORUS[:2], (6, 6), key=getkey())

    @jax.jit
    @jax.value_and_grad
    def total(array: Array) -> Array:
        return jnp.sum(power_spectrum(image.with_array(array))[1])

    variance, gradient = total(image.array)
    centred = image.array - image.array.mean(axis=(0, 1))
    assert variance == pytest.approx(float(jnp.square(centred).sum() / 36), rel=1e-5)
    np.testing.assert_allclose(gradient, 2 * centred / 36, atol=1e-6)
    _, half = compiled_spectrum(image.with_array((100 * image.array).astype(jnp.float16)))
    assert half.dtype == jnp.float32 and half.sum() == pytest.approx(1e4 * float(variance), rel=1e-2)


def test_spectra_are_drawn_on_logarithmic_axes_without_empty_shells(axes: Axes) -> None:
    wavenumber, power = np.arange(1.0, 5.0), np.array([[1.0, 0.1, 0.0, 0.01], [2.0, 1.0, 1.0, 1.0]])
    first, second = spectra(axes, wavenumber, power, labels=["before", "after"])
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert np.array_equal(first.get_ydata(), [1.0, 0.1, np.nan, 0.01], equal_nan=True)
    assert np.array_equal(second.get_ydata(), power[1])
    legend = axes.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["before", "after"]
