"""The simulators obey their equations and commute with the group; what they made is found again."""

import functools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jaxtyping import Array, Float, PRNGKeyArray

from equifield import FieldType, MultiImage, SignedPermutation
from equifield.groups import hyperoctahedral
from equifield.multi_image import random_image
from equifield.train.data import Arrays, Pairs
from equifield.train.simulate import (
    Burgers3D,
    DecayingTurbulence2D,
    ForcedTurbulence2D,
    SubgridStress2D,
    deviatoric,
    fit_smagorinsky,
    gradient_model,
    smagorinsky,
)
from equifield.train.simulate._cache import simulated
from equifield.train.simulate._specifications import TORUS, TORUS_3D
from tests.engine.laws import numpy_act

POINTS, FINE, STEP = 16, 24, 0.01
SMALL: dict[str, Any] = {"simulated": FINE, "steps": 5, "interval": STEP, "substeps": 2, "viscosity": 0.01}
DECAYING = DecayingTurbulence2D(points=POINTS, **SMALL, spin_up=3, band=(2, 4))
FORCED = ForcedTurbulence2D(points=FINE, **SMALL, spin_up=3, band=(2, 4))
BURGERS = Burgers3D(points=16, simulated=24, steps=3, interval=0.1, substeps=2, viscosity=0.5, band=(1, 2))
STRESS = SubgridStress2D(DECAYING)

Field = Float[np.ndarray, "..."]


def about_origin(element: SignedPermutation, field: Field, field_type: str) -> Field:
    """The turned field, channels first, with pixel 0 where it was: as positions turn about the origin of the box."""
    ndim = field.ndim - 1
    image = MultiImage(jnp.moveaxis(jnp.asarray(field), 0, -1), FieldType.parse(field_type), TORUS_3D[:ndim])
    turned = np.moveaxis(np.asarray(numpy_act(element, image).array), -1, 0)
    reversed_axes = [1 + axis for axis, sign in zip(element.images, element.signs, strict=True) if sign < 0]
    return np.roll(turned, 1, axis=reversed_axes)


def spectral_derivative(field: Field, axis: int) -> Field:
    wavenumbers = np.fft.fftfreq(field.shape[axis], 1 / field.shape[axis])
    shape = [-1 if a == axis else 1 for a in range(field.ndim)]
    derived: Field = np.fft.ifft(1j * wavenumbers.reshape(shape) * np.fft.fft(field, axis=axis), axis=axis).real
    return derived


def curl(velocity: Field) -> Field:
    """Of (time, x, y, 2)."""
    vorticity: Field = spectral_derivative(velocity[..., 1], 1) - spectral_derivative(velocity[..., 0], 2)
    return vorticity


@functools.cache
def starts_of(problem: DecayingTurbulence2D | ForcedTurbulence2D) -> tuple[Float[Array, "1 x y"], ...]:
    """Vorticity and, where there is one, source."""
    start = jax.jit(problem.start)(jr.key(0))
    return start if isinstance(start, tuple) else (start,)


B2 = list(hyperoctahedral(2))


def turned(elements: list[SignedPermutation], field: Any, field_type: str) -> Field:
    return np.stack([about_origin(g, np.asarray(field), field_type) for g in elements])


@functools.cache
def decayed() -> dict[str, Field]:
    """What the flow and its stress do from a start that is turned by every element, the identity first."""

    def observe(vorticity: Float[Array, "1 x y"]) -> dict[str, Float[Array, "..."]]:
        made = DECAYING.observe(vorticity, lambda u: STRESS.filtered(u) | {"fine": jnp.moveaxis(u, 0, -1)})
        return dict(made)

    found = jax.jit(jax.vmap(observe))(turned(B2, starts_of(DECAYING)[0], "pseudoscalar"))
    return {name: np.asarray(array, np.float64) for name, array in found.items()}


@functools.cache
def driven(turn_source: bool = True) -> Field:
    """The same for a forced flow, whose source is turned as well, or is not."""
    vorticity, source = (turned(B2, field, "pseudoscalar") for field in starts_of(FORCED))
    return np.asarray(evolve(vorticity, source if turn_source else np.repeat(source[:1], len(B2), 0)), np.float64)


evolve = jax.jit(jax.vmap(FORCED.evolve))


def test_a_flow_has_no_divergence_but_rounding() -> None:
    for velocity in (decayed()["fine"][0], driven()[0]):
        divergence = spectral_derivative(velocity[..., 0], 1) + spectral_derivative(velocity[..., 1], 2)
        assert velocity.shape == (5, FINE, FINE, 2)
        assert np.abs(divergence).max() < 2e-5 * np.abs(curl(velocity)).max()


def test_energy_decays_at_the_rate_of_the_enstrophy() -> None:
    velocity = decayed()["fine"][0]
    energy = np.square(velocity).sum(-1).mean((1, 2)) / 2
    enstrophy = np.square(curl(velocity)).mean((1, 2)) / 2
    lost = 2 * DECAYING.viscosity * np.trapezoid(enstrophy, dx=STEP)
    assert energy[0] - energy[-1] == pytest.approx(lost, rel=1e-3)


@pytest.mark.parametrize("problem", [DECAYING, FORCED], ids=lambda problem: type(problem).__name__)
def test_the_vorticity_obeys_its_equation(problem: DecayingTurbulence2D | ForcedTurbulence2D) -> None:
    forced = isinstance(problem, ForcedTurbulence2D)
    velocity = (driven() if forced else decayed()["fine"])[0]
    source = np.asarray(starts_of(problem)[1][0]) if forced else 0.0
    vorticity = curl(velocity)
    slopes = [spectral_derivative(vorticity, axis) for axis in (1, 2)]
    carried = velocity[..., 0] * slopes[0] + velocity[..., 1] * slopes[1]
    spread = spectral_derivative(slopes[0], 1) + spectral_derivative(slopes[1], 2)
    law = problem.viscosity * spread - getattr(problem, "drag", 0.0) * vorticity + source
    rate = (vorticity[2:] - vorticity[:-2]) / (2 * STEP)
    rate, carried, law = (resolved(values) for values in (rate, carried[1:-1], law[1:-1]))
    assert np.linalg.norm(rate + carried - law) < 0.01 * np.linalg.norm(rate)
    assert np.linalg.norm(rate - carried - law) > np.linalg.norm(rate), "a flow of the other sense would be noticed"


def resolved(values: Field) -> Field:
    """The wavenumbers that the 2/3 rule keeps."""
    kept = np.abs(np.fft.fftfreq(FINE, 1 / FINE)) <= FINE // 3 - 1
    low: Field = np.fft.ifft2(kept[:, None] * kept * np.fft.fft2(values)).real
    return low


def error_of_the_law(elements: list[SignedPermutation], trajectories: Field, field_type: str) -> float:
    """The largest ||f(g x) - g f(x)|| / ||f(x)||, from the trajectories of all g x; the first g is the identity."""
    states = np.moveaxis(trajectories, -1, 2)
    laws = [np.stack([about_origin(g, state, field_type) for state in states[0]]) for g in elements]
    errors = [np.linalg.norm(found - law) for found, law in zip(states, laws, strict=True)]
    return float(np.max(errors) / np.linalg.norm(states[0]))


def test_turbulence_and_its_stress_commute_with_every_element() -> None:
    for name, field_type in (("fine", "vector"), ("velocity", "vector"), ("stress", "tensor(2)")):
        assert error_of_the_law(B2, decayed()[name], field_type) < 1e-4
    assert error_of_the_law(B2, decayed()["velocity"], "pseudovector") > 1, "another law would not hold"


def test_forced_turbulence_commutes_when_its_source_is_turned_as_well() -> None:
    assert error_of_the_law(B2, driven(), "vector") < 1e-4
    assert error_of_the_law(B2, driven(turn_source=False), "vector") > 1e-2


WAVES = [(0.3, (1, 0, 0)), (0.2, (0, 1, 1)), (-0.2, (1, -1, 0)), (0.1, (1, 1, 1))]
OCTAHEDRAL = list(hyperoctahedral(3))[::7]


def potential_flow(time: float) -> Field:
    """u = -2 nu grad log h, where h obeys the heat equation (Hopf, 1950; Cole, 1951)."""
    place = np.stack(np.meshgrid(*[2 * np.pi * np.arange(24) / 24] * 3, indexing="ij"))
    heat, slopes = np.full(place.shape[1:], 2.0), np.zeros_like(place)
    for height, wave in WAVES:
        size = height * np.exp(-BURGERS.viscosity * np.dot(wave, wave) * time)
        phase = np.tensordot(wave, place, 1)
        heat += size * np.cos(phase)
        slopes -= size * np.sin(phase) * np.reshape(wave, (3, 1, 1, 1))
    velocity: Field = -2 * BURGERS.viscosity * slopes / heat
    return velocity


@functools.cache
def carried() -> Field:
    """Trajectories from turned random starts, and the last from the potential flow."""
    starts = [*turned(OCTAHEDRAL, BURGERS.start(jr.key(0)), "vector"), potential_flow(0.0)]
    return np.asarray(jax.jit(jax.vmap(BURGERS.evolve))(np.stack(starts).astype(np.float32)))


def test_burgers_commutes_with_every_element() -> None:
    assert error_of_the_law(OCTAHEDRAL, carried()[:-1], "vector") < 1e-4


def test_burgers_is_solved_as_cole_and_hopf_solve_it() -> None:
    kept = np.ix_(range(3), *[np.r_[0:8, -7:0]] * 3)
    for step, state in enumerate(carried()[-1]):
        spectrum = np.zeros((3, 16, 16, 16), complex)
        spectrum[kept] = np.fft.fftn(potential_flow(0.1 * step), axes=(1, 2, 3))[kept] * (16 / 24) ** 3
        exact = np.moveaxis(np.fft.ifftn(spectrum, axes=(1, 2, 3)).real, 0, -1)
        assert np.linalg.norm(state - exact) < 1e-4 * np.linalg.norm(exact)


filtered = functools.cache(lambda width: jax.jit(SubgridStress2D(DECAYING, width=width).filtered))


def test_the_stress_is_symmetric_and_vanishes_where_nothing_is_filtered() -> None:
    velocity = np.stack([np.sin(position()[1]), np.cos(2 * position()[0])])
    none, some = (filtered(width)(velocity)["stress"] for width in (0.0, 2.0))
    np.testing.assert_allclose(none, 0, atol=1e-6)
    assert np.abs(some).max() > 0.01
    np.testing.assert_allclose(some[..., 1], some[..., 2], atol=1e-7)


def position() -> Float[np.ndarray, "2 x y"]:
    return np.stack(np.meshgrid(*[2 * np.pi * np.arange(FINE) / FINE] * 2, indexing="ij")).astype(np.float32)


WAVE = 3
HEIGHT = 2 * np.pi * np.arange(POINTS) / POINTS
SPACING = 2 * np.pi / POINTS


def wave(width: float) -> tuple[Field, Field]:
    """u = sin(k y) once filtered, and F(u u) - F(u)^2 = (1 - g(2k) cos 2ky)/2 - g(k)^2 (1 - cos 2ky)/2."""
    once, twice = (np.exp(-((k * width * SPACING) ** 2) / 24) for k in (WAVE, 2 * WAVE))
    double = np.cos(2 * WAVE * HEIGHT)
    stress: Field = (1 - twice * double) / 2 - once**2 * (1 - double) / 2
    return once * np.sin(WAVE * HEIGHT), stress


def test_the_stress_of_a_wave_is_what_the_filter_takes() -> None:
    velocity = np.stack([np.sin(WAVE * position()[1]), np.zeros((FINE, FINE), np.float32)])
    found = filtered(2.0)(velocity)
    smooth, stress = (np.broadcast_to(exact, (POINTS, POINTS)) for exact in wave(2.0))
    np.testing.assert_allclose(found["velocity"][..., 0], smooth, atol=1e-5)
    np.testing.assert_allclose(found["stress"][..., 0], stress, atol=1e-5)
    np.testing.assert_allclose(found["stress"][..., 1:], 0, atol=1e-6)


def shear(speed: Field) -> MultiImage:
    """A flow along x with this speed at each y."""
    across = np.broadcast_to(speed, (1, POINTS, POINTS))
    velocity = np.stack([across, np.zeros_like(across)], axis=-1).astype(np.float32)
    return MultiImage(jnp.asarray(velocity), FieldType.parse("vector"), TORUS)


def test_the_gradient_model_is_the_leading_order_of_the_stress() -> None:
    model = jax.jit(lambda velocity: gradient_model(velocity, width=SPACING, spacing=SPACING).array)
    errors = []
    for width in (0.6, 0.3):
        smooth, stress = wave(width)
        found = width**2 * np.asarray(model(shear(smooth)))[0, 0]
        errors.append(np.linalg.norm(found[:, 0] - stress) / np.linalg.norm(stress))
        np.testing.assert_allclose(found[:, 1:], 0, atol=1e-6)
    assert errors[0] < 0.2 and errors[1] == pytest.approx(errors[0] / 4, rel=0.1)


def test_the_eddy_viscosity_of_a_shear_flow_is_that_of_the_formula() -> None:
    closure = jax.jit(lambda velocity: smagorinsky(velocity, coefficient=0.2, spacing=SPACING).array)
    stress = np.asarray(closure(shear(np.sin(HEIGHT))))
    exact = -((0.2 * SPACING) ** 2) * np.abs(np.cos(HEIGHT)) * np.cos(HEIGHT)
    np.testing.assert_allclose(stress[0, ..., 1], np.broadcast_to(exact, (POINTS, POINTS)), atol=1e-6)
    np.testing.assert_allclose(stress[..., 1], stress[..., 2])
    np.testing.assert_allclose(stress[..., 0], 0, atol=1e-6)


@jax.jit
def closed(key: PRNGKeyArray) -> tuple[MultiImage, MultiImage]:
    """Random velocities with the stress that the closure gives them, and a pressure."""
    velocity = random_image(FieldType.parse("vector"), TORUS, (8, 8), batch=(16,), key=key)
    stress = smagorinsky(velocity, coefficient=0.17, spacing=0.5)
    return velocity, stress.with_array(stress.array + jnp.array([3.0, 0, 0, 3.0]))


def test_the_constant_that_made_a_stress_is_found() -> None:
    velocity, stress = closed(jr.key(0))
    assert fit_smagorinsky(Arrays((velocity, stress)), spacing=0.5) == pytest.approx(0.17, rel=1e-4)
    assert fit_smagorinsky(Arrays((velocity, -stress)), spacing=0.5) == 0, "no viscosity is negative"
    free = np.asarray(deviatoric(stress).array)
    np.testing.assert_allclose(free[..., 0] + free[..., 3], 0, atol=1e-6)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulated")


def test_what_was_simulated_is_found_again(cache: Path) -> None:
    series = DECAYING.simulate(2, seed=0, cache=cache)
    (folder,) = cache.iterdir()
    written = (folder / "velocity.npy").stat().st_mtime_ns
    again = DECAYING.simulate(2, seed=0, cache=cache)
    assert list(cache.iterdir()) == [folder] and (folder / "velocity.npy").stat().st_mtime_ns == written
    assert isinstance(series.array, np.memmap) and not series.array.flags.writeable
    np.testing.assert_array_equal(again.array, series.array)
    recipe = json.loads((folder / "recipe.json").read_text())
    assert recipe["parameters"]["viscosity"] == 0.01 and "exponax" in recipe["versions"]
    assert np.abs(series.array[0] - series.array[1]).max() > 0.1


def random(key: PRNGKeyArray) -> dict[str, Float[Array, "3"]]:
    return {"values": jr.normal(key, (3,))}


def test_the_seed_decides_and_the_first_of_many_are_those_of_few(tmp_path: Path) -> None:
    few, many, other, afresh = (
        simulated(DECAYING, random, count, seed, tmp_path / name)["values"]
        for name, count, seed in (("few", 2, 0), ("many", 19, 0), ("other", 2, 1), ("afresh", 2, 0))
    )
    np.testing.assert_array_equal(few, afresh)
    np.testing.assert_array_equal(many[:2], few)
    assert len(np.unique(many)) == many.size and not np.isin(other, many).any()


def test_something_else_is_not_what_is_found(tmp_path: Path) -> None:
    other = DecayingTurbulence2D(points=8, **SMALL, band=(2, 3))
    for problem, count, seed in ((DECAYING, 2, 0), (DECAYING, 3, 0), (DECAYING, 2, 1), (FORCED, 2, 0), (other, 2, 0)):
        simulated(problem, random, count, seed, tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_simulation_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def breaks(key: PRNGKeyArray) -> dict[str, Float[Array, "3"]]:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        simulated(DECAYING, breaks, 1, 0, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_who_is_second_with_the_same_takes_what_is_there(tmp_path: Path) -> None:
    def overtaken(key: PRNGKeyArray) -> dict[str, Float[Array, "3"]]:
        with ThreadPoolExecutor() as elsewhere:
            elsewhere.submit(simulated, DECAYING, random, 2, 0, tmp_path).result()
        return random(key)

    found = simulated(DECAYING, overtaken, 2, 0, tmp_path)["values"]
    assert found.shape == (2, 3) and len(list(tmp_path.iterdir())) == 1


def test_the_cache_is_in_the_users_folder_unless_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    simulated(BURGERS, random, 1, 0, None)
    assert [folder.name.split("-")[0] for folder in (tmp_path / "equifield").iterdir()] == ["Burgers3D"]


def test_the_source_is_a_constant_pseudoscalar_of_each_trajectory(cache: Path) -> None:
    series = FORCED.simulate(2, seed=0, cache=cache)
    found = [series.constants(trajectory) for trajectory in (0, 1)]
    assert all(image is not None and image.field_type == FieldType.parse("pseudoscalar") for image in found)
    arrays = [np.asarray(image.array) for image in found if image is not None]
    assert np.abs(arrays[0] - arrays[1]).max() > 0.1
    for array in arrays:
        assert np.sqrt(np.mean(np.square(array))) == pytest.approx(FORCED.forcing, rel=1e-4)


def test_stresses_come_in_pairs_with_their_velocities(cache: Path) -> None:
    pairs = STRESS.simulate(1, seed=0, cache=cache)
    assert isinstance(pairs, Pairs) and len(pairs) == DECAYING.steps
    types = (pairs.inputs.field_type, pairs.outputs.field_type)
    assert types == (FieldType.parse("vector"), FieldType.parse("tensor(2)"))
    with pytest.raises(ValueError, match="at least one trajectory"):
        STRESS.simulate(0, seed=0, cache=cache)


@pytest.mark.parametrize("problem", [DECAYING, FORCED, BURGERS, STRESS], ids=lambda problem: type(problem).__name__)
def test_a_description_tells_the_physics_and_its_numbers(problem: Any) -> None:
    text = problem.describe()
    assert "exponax" in text and "viscosity 0." in text and str(FINE) in text


@pytest.mark.parametrize("kind", [DecayingTurbulence2D, ForcedTurbulence2D, Burgers3D], ids=lambda kind: kind.__name__)
def test_starts_that_are_not_resolved_are_refused(kind: Any) -> None:
    for settings in ({"points": 64, "simulated": 32}, {"points": 8, "simulated": 64, "band": (2, 4)}):
        with pytest.raises(ValueError, match=f"`{kind.__name__}` saves"):
            kind(**settings)


def test_a_grid_too_coarse_for_products_is_refused() -> None:
    with pytest.raises(ValueError, match="3/2 as many simulated points"):
        SubgridStress2D(DecayingTurbulence2D(points=16, simulated=20, band=(2, 4)))
