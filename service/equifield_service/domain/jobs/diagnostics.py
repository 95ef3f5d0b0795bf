"""What the states of a rollout look like, in numbers: to see from afar whether it runs away, or dies out."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from equifield.package.manifest import Manifest, packed_fields

from ...scheduling import Array
from ..rollouts import Steps

MOST = 100
"""States of one rollout that are measured, spread evenly."""
NAMES = ("mean_square", "minimum", "maximum", "spectrum_slope")


@dataclass(frozen=True)
class Diagnostics:
    """Numbers for each output field, of some states of a rollout.

    Attributes:
        steps: After which steps.
        fields: By field and by name of a number, as long as `steps`. `mean_square` is the mean of the squared magnitude
            over samples and points; `minimum` and `maximum` are of the components; `spectrum_slope` is the exponent p
            of the power law k^p that fits the spectrum best, None where there is none.
    """

    steps: list[int] = field(default_factory=list)
    fields: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)

    def followed_by(self, manifest: Manifest, rollout: Steps, after: int, states: Array) -> "Diagnostics":
        """With those of the states `(batch, frames, *grid, features)` after step `after` whose turn it is."""
        stride = -(-rollout.frames // MOST)
        first = after // rollout.every + 1
        turns = [
            number
            for number in range(first, first + states.shape[1])
            if number % stride == 0 or number == rollout.frames
        ]
        measured = [_measured(manifest, states[:, number - first]) for number in turns]
        fields = {
            one.name: {
                name: [*self.fields.get(one.name, {}).get(name, []), *(found[one.name][name] for found in measured)]
                for name in NAMES
            }
            for one in manifest.outputs
        }
        return Diagnostics([*self.steps, *(number * rollout.every for number in turns)], fields)


def _measured(manifest: Manifest, state: Array) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    first = 0
    for one in packed_fields(manifest.outputs):
        values = state[..., first : first + len(one.components)].astype(np.float64)
        first += len(one.components)
        found[one.name] = {
            "mean_square": float(np.mean(np.sum(values**2, axis=-1))),
            "minimum": float(values.min()),
            "maximum": float(values.max()),
            "spectrum_slope": spectrum_slope(values),
        }
    return found


def spectrum_slope(values: npt.NDArray[np.float64]) -> float | None:
    """The exponent p of the power law k^p that fits the spectrum of `(batch, *grid, components)` best.

    The energy of all modes of one whole wave number k, in waves per grid, from 1 up to what the shortest axis resolves,
    is fitted by least squares of logarithms; None where fewer than two wave numbers have energy.
    """
    axes, sides = tuple(range(1, values.ndim - 1)), values.shape[1:-1]
    modes = np.fft.rfftn(values, axes=axes)
    energy = np.sum(modes.real**2 + modes.imag**2, axis=(0, -1)).ravel()
    shells, counts = _shells(sides)
    spectrum = np.bincount(shells, counts * energy)
    total, spectrum = spectrum.sum(), spectrum[1 : min(sides) // 2 + 1]
    there = np.flatnonzero(spectrum > 1e-14 * total)
    if len(there) < 2:
        return None
    waves = np.log(there + 1.0)
    waves -= waves.mean()
    return float(waves @ np.log(spectrum[there]) / (waves @ waves))


@lru_cache(maxsize=16)
def _shells(sides: tuple[int, ...]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Of a real transform the whole wave number of each mode, and how many modes it stands for: with its mirror two."""
    last = np.fft.rfftfreq(sides[-1], 1 / sides[-1])
    each = [*(np.fft.fftfreq(side, 1 / side) for side in sides[:-1]), last]
    lengths: npt.NDArray[np.float64] = np.sqrt(sum(wave**2 for wave in np.meshgrid(*each, indexing="ij")))
    alone = (last == 0) | (last == sides[-1] / 2)
    counts = np.broadcast_to(np.where(alone, 1.0, 2.0), lengths.shape)
    return np.rint(lengths).astype(np.int64).ravel(), counts.ravel()
