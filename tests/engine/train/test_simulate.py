"""The simulators obey their equations and commute with the group; what they made is found again."""

import functools
import json
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
from equifield.train.data import Pairs
from equifield.train.simulate import (
    Burgers3D,
    DecayingTurbulence2D,
    ForcedTurbulence2D,
    SubgridStress2D,
    deviatoric,
    fit_smagorinsky,
    smagorinsky,
)
from equifield.train.simulate._cache import simulated
from equifield.train.simulate._specifications import TORUS, TORUS_3D
from tests.engine.laws import numpy_act

POINTS, FINE = 16, 24
SMALL: dict[str, Any] = {"points": POINTS, "simulated": FINE, "steps": 4, "interval": 0.05, "substeps": 2}
DECAYING = DecayingTurbulence2D(**SMALL, spin_up=1, viscosity=0.01, band=(2, 4))
FORCED = ForcedTurbulence2D(**SMALL, spin_up=1, viscosity=0.01, band=(2, 4))
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


def starts_of(problem: DecayingTurbulence2D | ForcedTurbulence2D) -> tuple[Float[Array, "1 x y"], ...]:
    """Vorticity and, where there is one, source."""
    start = problem.start(jr.key(0))
    return start if isinstance(start, tuple) else (start,)


@functools.cache
def fine(problem: DecayingTurbulence2D | ForcedTurbulence2D) -> tuple[Field, Field]:
    """Velocities on all points of the solver, close together in time, and the source of vorticity."""
    closer = {"points": FINE, "interval": 0.01, "substeps": 2, "steps": 5, "spin_up": 3}
    whole = type(problem)(**{**problem.__dict__, **closer})
    velocity = np.asarray(jax.jit(whole.evolve)(*starts_of(whole)), np.float64)
    source = starts_of(whole)[1:] or (np.zeros((1, FINE, FINE)),)
    return velocity, np.asarray(source[0], np.float64)[0]


def test_a_flow_has_no_divergence_but_rounding() -> None:
    velocity, _ = fine(DECAYING)
    divergence = spectral_derivative(velocity[..., 0], 1) + spectral_derivative(velocity[..., 1], 2)
    assert velocity.shape == (5, FINE, FINE, 2)
    assert np.abs(divergence).max() < 2e-5 * np.abs(curl(velocity)).max()


def test_energy_decays_at_the_rate_of_the_enstrophy() -> None:
    velocity, _ = fine(DECAYING)
    energy = np.square(velocity).sum(-1).mean((1, 2)) / 2
    enstrophy = np.square(curl(velocity)).mean((1, 2)) / 2
    lost = 2 * DECAYING.viscosity * np.trapezoid(enstrophy, dx=0.01)
    assert energy[0] - energy[-1] == pytest.approx(lost, rel=1e-3)


@pytest.mark.parametrize("problem", [DECAYING, FORCED], ids=lambda problem: type(problem).__name__)
def test_the_vorticity_obeys_its_equation(problem: DecayingTurbulence2D | ForcedTurbulence2D) -> None:
    velocity, source = fine(problem)
    vorticity = curl(velocity)
    rate = (vorticity[2:] - vorticity[:-2]) / 0.02
    slopes = [spectral_derivative(vorticity, axis) for axis in (1, 2)]
    carried = velocity[..., 0] * slopes[0] + velocity[..., 1] * slopes[1]
    spread = sum(spectral_derivative(slope, axis) for slope, axis in zip(slopes, (1, 2), strict=True))
    drag = getattr(problem, "drag", 0.0)
    law = (-carried + problem.viscosity * spread - drag * vorticity + source)[1:-1]
    resolved = np.abs(np.fft.fftfreq(FINE, 1 / FINE)) <= FINE // 3 - 1
    mask = resolved[:, None] & resolved[None]
    rate, law = (np.fft.ifft2(mask * np.fft.fft2(values)).real for values in (rate, law))
    assert np.linalg.norm(rate - law) < 0.01 * np.linalg.norm(rate)
    backwards = law + 2 * np.fft.ifft2(mask * np.fft.fft2(carried[1:-1])).real
    assert np.linalg.norm(rate - backwards) > 0.5 * np.linalg.norm(rate), "a flow of the other sense would be noticed"


B2 = list(hyperoctahedral(2))


def everything(vorticity: Float[Array, "1 x y"]) -> dict[str, Float[Array, "steps points points features"]]:
    """What decaying turbulence saves, and what its stress does."""
    filtered = DECAYING.observe(vorticity, STRESS.filtered)
    return {"state": DECAYING.evolve(vorticity), **filtered}


def turned(elements: list[SignedPermutation], field: Any, field_type: str) -> Field:
    return np.stack([about_origin(g, np.asarray(field), field_type) for g in elements])


def error_of_the_law(elements: list[SignedPermutation], trajectories: Any, field_type: str) -> float:
    """The largest ||f(g x) - g f(x)|| / ||f(x)||, from the trajectories of all g x; the first g is the identity."""
    states = np.moveaxis(np.asarray(trajectories), -1, 2)
    laws = [np.stack([about_origin(g, state, field_type) for state in states[0]]) for g in elements]
    errors = [np.linalg.norm(found - law) for found, law in zip(states, laws, strict=True)]
    return float(np.max(errors) / np.linalg.norm(states[0]))


def test_turbulence_and_its_stress_commute_with_every_element() -> None:
    found = jax.jit(jax.vmap(everything))(turned(B2, starts_of(DECAYING)[0], "pseudoscalar"))
    assert found["state"].shape == (8, 4, POINTS, POINTS, 2)
    for name, field_type in (("state", "vector"), ("velocity", "vector"), ("stress", "tensor(2)")):
        assert error_of_the_law(B2, found[name], field_type) < 1e-4
    assert error_of_the_law(B2, found["velocity"], "pseudovector") > 1, "another law would not hold"


def test_forced_turbulence_commutes_when_its_source_is_turned_as_well() -> None:
    evolve = jax.jit(jax.vmap(FORCED.evolve))
    vorticity, source = (turned(B2, field, "pseudoscalar") for field in starts_of(FORCED))
    assert error_of_the_law(B2, evolve(vorticity, source), "vector") < 1e-4
    unturned = np.broadcast_to(source[:1], source.shape)
    assert error_of_the_law(B2, evolve(vorticity, unturned), "vector") > 1e-2


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


def test_the_stress_of_a_wave_is_what_the_filter_takes() -> None:
    """u = sin(k y): F(u u) - F(u)^2 = (1 - g(2k) cos 2ky)/2 - g(k)^2 (1 - cos 2ky)/2, g the transfer function."""
    wave, width = 3, 2 * 2 * np.pi / POINTS
    velocity = np.stack([np.sin(wave * position()[1]), np.zeros((FINE, FINE), np.float32)])
    found = np.asarray(filtered(2.0)(velocity)["stress"])
    once, twice = (np.exp(-((k * width) ** 2) / 24) for k in (wave, 2 * wave))
    y = 2 * np.pi * np.arange(POINTS) / POINTS
    exact = (1 - twice * np.cos(2 * wave * y)) / 2 - once**2 * (1 - np.cos(2 * wave * y)) / 2
    np.testing.assert_allclose(found[..., 0], np.broadcast_to(exact, (POINTS, POINTS)), atol=1e-5)
    np.testing.assert_allclose(found[..., 1:], 0, atol=1e-6)


def shear() -> MultiImage:
    y = 2 * np.pi * np.arange(POINTS) / POINTS
    velocity = np.stack([np.broadcast_to(np.sin(y), (1, POINTS, POINTS)), np.zeros((1, POINTS, POINTS))], axis=-1)
    return MultiImage(jnp.asarray(velocity, jnp.float32), FieldType.parse("vector"), ("periodic", "periodic"))


def test_the_eddy_viscosity_of_a_shear_flow_is_that_of_the_formula() -> None:
    spacing = 2 * np.pi / POINTS
    stress = smagorinsky(shear(), coefficient=0.2, spacing=spacing).array
    slope = np.cos(2 * np.pi * np.arange(POINTS) / POINTS)
    exact = -((0.2 * spacing) ** 2) * np.abs(slope) * slope
    np.testing.assert_allclose(stress[0, ..., 1], np.broadcast_to(exact, (POINTS, POINTS)), atol=1e-6)
    np.testing.assert_allclose(stress[..., 1], stress[..., 2])
    np.testing.assert_allclose(stress[..., 0], 0, atol=1e-6)


class Closure:
    """Samples of random velocities with the stress that the closure gives them, and a pressure."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, chosen: Any) -> tuple[MultiImage, MultiImage]:
        velocity = random_image(FieldType.parse("vector"), TORUS, (8, 8), batch=(len(chosen),), key=jr.key(chosen[0]))
        stress = smagorinsky(velocity, coefficient=0.17, spacing=0.5)
        return velocity, stress.with_array(stress.array + jnp.array([3.0, 0, 0, 3.0]))


def test_the_constant_that_made_a_stress_is_found() -> None:
    assert fit_smagorinsky(Closure(), spacing=0.5) == pytest.approx(0.17, rel=1e-4)
    _, stress = Closure()[np.arange(3)]
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


@pytest.mark.parametrize(
    ("problem", "count", "seed"),
    [(DECAYING, 3, 0), (DECAYING, 2, 1), (FORCED, 2, 0), (DecayingTurbulence2D(**SMALL, band=(2, 4)), 2, 0)],
    ids=["number", "seed", "problem", "parameter"],
)
def test_something_else_is_not_what_is_found(problem: Any, count: int, seed: int, tmp_path: Path) -> None:
    for each in ((DECAYING, 2, 0), (problem, count, seed)):
        simulated(each[0], random, *each[1:], tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_simulation_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def breaks(key: PRNGKeyArray) -> dict[str, Float[Array, "3"]]:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        simulated(DECAYING, breaks, 1, 0, tmp_path)
    assert list(tmp_path.iterdir()) == []


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
    assert "exponax" in text and "viscosity 0." in text and str(POINTS) in text


@pytest.mark.parametrize("kind", [DecayingTurbulence2D, ForcedTurbulence2D, Burgers3D], ids=lambda kind: kind.__name__)
def test_starts_that_are_not_resolved_are_refused(kind: Any) -> None:
    for settings in ({"points": 64, "simulated": 32}, {"points": 8, "simulated": 64, "band": (2, 4)}):
        with pytest.raises(ValueError, match=f"`{kind.__name__}` saves"):
            kind(**settings)


def test_a_grid_too_coarse_for_products_is_refused() -> None:
    with pytest.raises(ValueError, match="3/2 as many simulated points"):
        SubgridStress2D(DecayingTurbulence2D(points=16, simulated=20, band=(2, 4)))
