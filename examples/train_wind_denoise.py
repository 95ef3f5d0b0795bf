"""Trains the shipped model `wind-denoise-2d`: wind and temperature with measurement noise in, without it out.

    python examples/train_wind_denoise.py models_store --steps 600

The data are the 14 pressure levels of `examples/wind_temperature.nc`; two of them are never trained on. It is a
small, briefly trained model whose purpose is to be served: its card says what it can do and what it cannot.
"""

import argparse
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array, Float, PRNGKeyArray
from rich.progress import track

import equifield
from equifield.architectures import build_model
from equifield.models import AbstractNetwork
from equifield.multi_image import Boundary
from equifield.package import (
    Architecture,
    Component,
    FieldSpec,
    GridSpec,
    Manifest,
    Provenance,
    field_type_of,
    write_package,
)

DATA = Path(__file__).with_name("wind_temperature.nc")
HELD_OUT = [500, 200]
NOISE = 3.0  # metres per second, and kelvin
BATCH = 6

WIND = FieldSpec(
    name="wind",
    order=1,
    units="m s-1",
    long_name="horizontal wind",
    components=(
        Component(axes=("x",), variable="u", standard_names=("eastward_wind", "x_wind")),
        Component(axes=("y",), variable="v", standard_names=("northward_wind", "y_wind")),
    ),
    scale=15.0,
)
TEMPERATURE = FieldSpec(
    name="temperature",
    order=0,
    units="K",
    long_name="air temperature",
    components=(Component(variable="temperature", standard_names=("air_temperature",)),),
    mean=240.0,
    scale=30.0,
)
FIELDS = (TEMPERATURE, WIND)
BOUNDARY: tuple[Boundary, ...] = ("periodic", "zero")


def manifest(steps: int, seed: int) -> Manifest:
    """What the model takes and gives."""
    return Manifest(
        name="wind-denoise-2d",
        version="1",
        title="Wind and temperature without measurement noise",
        description="Removes independent noise of about 3 m/s and 3 K from a horizontal wind and temperature field.",
        licence="Apache-2.0",
        architecture=Architecture(
            # Without normalisation: what is added to a field of 300 K must not depend on how far that is from the mean.
            name="ResNet",
            config={"hidden": "10x scalar + 10x vector", "num_blocks": 2, "kernel_size": 3, "norm_groups": None},
        ),
        group="B2",
        inputs=FIELDS,
        outputs=FIELDS,
        grid=GridSpec(axes=("x", "y"), boundary=BOUNDARY, spacing="any", minimum=4, warm=((128, 64),)),
        provenance=Provenance(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            engine_version=version("equifield"),
            training=f"python examples/train_wind_denoise.py models_store --steps {steps} --seed {seed}",
            data="examples/wind_temperature.nc, 12 of 14 pressure levels",
            seed=seed,
        ),
    )


def load(levels: str) -> Float[np.ndarray, "level x y features"]:
    """The packed fields (temperature, u, v) of the levels trained on, or of those held out, normalised."""
    with xr.open_dataset(DATA, decode_times=False) as data:
        data = data.isel(time=0).transpose("lev", "lon", "lat")
        held = data.lev.isin(HELD_OUT)
        data = data.isel(lev=held if levels == "held out" else ~held)
        temperature = (data["T"].values - TEMPERATURE.mean) / TEMPERATURE.scale
        return np.stack([temperature, data["U"].values / WIND.scale, data["V"].values / WIND.scale], axis=-1)


def add_noise(clean: Float[Array, "*any 3"], key: PRNGKeyArray) -> Float[Array, "*any 3"]:
    """Independent normal noise of the same size in physical units on every component."""
    scales = jnp.array([TEMPERATURE.scale, WIND.scale, WIND.scale])
    return clean + jr.normal(key, clean.shape) * NOISE / scales


def train(network: AbstractNetwork, steps: int, key: PRNGKeyArray) -> AbstractNetwork:
    """Minimises the mean squared error of the denoised fields."""
    clean = jnp.asarray(load("trained"))
    field_type = field_type_of(FIELDS)
    optimiser = optax.adam(optax.cosine_onecycle_schedule(steps, 6e-3))
    state = optimiser.init(eqx.filter(network, eqx.is_array))

    def loss(network: AbstractNetwork, target: Float[Array, "batch x y 3"], key: PRNGKeyArray) -> Float[Array, ""]:
        noisy = equifield.MultiImage(add_noise(target, key), field_type, BOUNDARY)
        return jnp.mean(jnp.square(network(noisy).array - target))

    @eqx.filter_jit
    def step(
        network: AbstractNetwork, state: optax.OptState, key: PRNGKeyArray
    ) -> tuple[AbstractNetwork, optax.OptState, Float[Array, ""]]:
        which, noise = jr.split(key)
        target = clean[jr.choice(which, len(clean), (BATCH,), replace=False)]
        value, gradient = eqx.filter_value_and_grad(loss)(network, target, noise)
        updates, state = optimiser.update(gradient, state, eqx.filter(network, eqx.is_array))
        return eqx.apply_updates(network, updates), state, value

    for subkey in track(jr.split(key, steps), "training"):
        network, state, value = step(network, state, subkey)
        if not jnp.isfinite(value):
            raise FloatingPointError("The training loss is no longer a number. Lower the learning rate.")
    return network


def smooth(noisy: Float[Array, "*batch x y 3"]) -> Float[Array, "*batch x y 3"]:
    """The classical baseline: a binomial 3x3 filter, periodic along x and clamped along y."""
    wrapped = (jnp.roll(noisy, 1, -3) + 2 * noisy + jnp.roll(noisy, -1, -3)) / 4
    padded = jnp.pad(wrapped, [(0, 0)] * (noisy.ndim - 2) + [(1, 1), (0, 0)], mode="edge")
    return (padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]) / 4


def evaluate(network: AbstractNetwork, key: PRNGKeyArray) -> dict[str, tuple[float, float]]:
    """Root mean square errors (wind in m/s, temperature in K) on the levels that were held out."""
    clean = jnp.asarray(load("held out"))
    noisy = add_noise(clean, key)
    image = equifield.MultiImage(noisy, field_type_of(FIELDS), BOUNDARY)
    results = {"as measured": noisy, "3x3 binomial filter": smooth(noisy), "this model": network(image).array}
    errors = {name: np.asarray(result - clean) for name, result in results.items()}
    return {
        name: (
            float(np.sqrt((error[..., 1:] ** 2).sum(-1).mean())) * WIND.scale,
            float(np.sqrt((error[..., 0] ** 2).mean())) * TEMPERATURE.scale,
        )
        for name, error in errors.items()
    }


def card(manifest: Manifest, errors: dict[str, tuple[float, float]], parameters: int) -> str:
    """The model card, with the errors measured just now."""
    rows = "\n".join(f"| {name} | {wind:.2f} | {temperature:.2f} |" for name, (wind, temperature) in errors.items())
    return f"""# {manifest.title}

{manifest.description}
A ResNet of {parameters} parameters that commutes with all rotations by 90 degrees and all reflections (B2), and with
translations along x.

**A small, briefly trained model, shipped so that the service has something real to serve. Not a product for
meteorology.**

| root mean square error on two held-out pressure levels | wind vector, m/s | temperature, K |
|---|---|---|
{rows}

- Data: {manifest.provenance.data} (see `examples/README.md`).
- Held out: {HELD_OUT} hPa. All levels belong to one time of one climate model, so those held out resemble their
  neighbours: expect worse elsewhere.
- Noise: independent normal, {NOISE:g} m/s per component and {NOISE:g} K, added in training and in this table.
- Training: `{manifest.provenance.training}`
- Limits: grid points are taken as equally spaced; the symmetry of the sphere is not that of the grid. Fields whose
  variance is much smaller or larger than that of the training data are outside what it has seen.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    fresh, training, testing = jr.split(jr.key(options.seed), 3)
    described = manifest(options.steps, options.seed)
    field_type = field_type_of(FIELDS)
    architecture = described.architecture
    network = build_model(
        architecture.name,
        architecture.config,
        equifield.groups.group_named("B2"),
        field_type,
        field_type,
        key=fresh,
    )
    network = train(network, options.steps, training)
    errors = evaluate(network, testing)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(network, eqx.is_array)))
    text = card(described, errors, parameters)
    print(text)
    print(f"published as {write_package(options.store, described, network, card=text)}")


if __name__ == "__main__":
    main()
