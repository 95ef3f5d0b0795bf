"""Normalisation that commutes with the group: one number per field, and a mean for true scalars alone."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int

from ...multi_image import MultiImage
from ...package._field_model import affine, field_type_of
from ...package.manifest import FieldSpec, packed_fields
from ._batches import batches
from ._image import host_image
from ._samples import Samples
from ._series import Series
from ._states import States

LEAST = 1e-6
"""A true scalar that varies by less than this share of its mean is constant, up to the rounding of float32."""

READ = 16
"""The number of samples read at a time."""


def normalisation(
    samples: Samples | Series, fields: Sequence[FieldSpec], *, most: int = 1024, seed: int = 0
) -> tuple[FieldSpec, ...]:
    """The fields with mean and scale as the samples have them, in physical units.

    A true scalar gets its mean and standard deviation over all pixels; a pseudoscalar, vector or tensor no mean and
    one scale, the root mean square over pixels and components. So normalising commutes with every rotation and
    reflection. Batches are read one after another.

    **Arguments:**

    - samples: images of these fields, one per sample, or a series, whose states they are.
    - fields: their specifications, whose means and scales are replaced.
    - most: how many samples to use at most; more are chosen from at random.
    - seed: randomness of this choice.

    **Raises:** `ValueError` for a field that vanishes everywhere, a scalar that does not vary, values that are not
    finite, and samples of another type.
    """
    images = States(samples) if isinstance(samples, Series) else samples
    order = np.random.default_rng(seed).permutation(len(images))[:most]
    moments = {field.name: _Moments() for field in fields}
    for image in batches(images, np.sort(order), READ):
        for field, values in _values(image, fields):
            moments[field.name].add(values)
    return tuple(_filled(field, moments[field.name]) for field in fields)


class Normalised:
    """Samples in normalised units: `(x - mean) / scale` of each field, in float32.

    **Arguments:**

    - samples: samples that are images, or tuples of them such as those of `Windows` and `Pairs`.
    - fields: the fields of each image of a sample, in turn, with the means and scales that `normalisation` found.

    **Raises:** `ValueError`, when a sample is read, for images of other fields.
    """

    samples: Samples
    fields: tuple[tuple[FieldSpec, ...], ...]

    def __init__(self, samples: Samples, *fields: Sequence[FieldSpec]):
        self.samples = samples
        self.fields = tuple(tuple(each) for each in fields)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, chosen: Int[np.ndarray, " batch"]) -> Any:
        sample = self.samples[chosen]
        images = sample if isinstance(sample, tuple) else (sample,)
        if len(images) != len(self.fields):
            raise ValueError(
                f"`Normalised` needs the fields of each image of a sample: there are {len(images)} images, but fields "
                f"for {len(self.fields)}."
            )
        scaled = tuple(_normalised(image, fields) for image, fields in zip(images, self.fields, strict=True))
        return scaled if isinstance(sample, tuple) else scaled[0]


class _Moments:
    """The mean of a stream of values and of the squared deviations from it (Chan, Golub and LeVeque, 1979)."""

    def __init__(self) -> None:
        self.count, self.mean, self.variance = 0, 0.0, 0.0

    def add(self, values: Float64[np.ndarray, " values"]) -> None:
        """Takes in some more values."""
        share = len(values) / (self.count + len(values))
        mean, variance = float(np.mean(values)), float(np.var(values))
        apart = mean - self.mean
        self.variance += share * (variance - self.variance) + share * (1 - share) * apart**2
        self.mean += share * apart
        self.count += len(values)

    @property
    def root_mean_square(self) -> float:
        """The root of the mean of the squared values."""
        return math.sqrt(self.variance + self.mean**2)


def _filled(field: FieldSpec, moments: _Moments) -> FieldSpec:
    centred = (field.order, field.parity) == (0, 0)
    mean = moments.mean if centred else 0.0
    scale = math.sqrt(moments.variance) if centred else moments.root_mean_square
    if scale <= LEAST * abs(mean):
        raise ValueError(
            f"Field '{field.name}' {f'is {mean} everywhere' if mean else 'vanishes everywhere'} in the samples, so "
            f"it has no scale. Leave it out: a model learns nothing from it."
        )
    return FieldSpec.model_validate(field.model_dump() | {"mean": mean, "scale": scale})


def _values(
    image: MultiImage, fields: Sequence[FieldSpec]
) -> Iterator[tuple[FieldSpec, Float64[np.ndarray, " values"]]]:
    """Each field with its values, of all samples, pixels and components."""
    _check_type(image, fields)
    start = 0
    for field in packed_fields(tuple(fields)):
        stop = start + image.ndim**field.order
        values = np.asarray(image.array[..., start:stop], np.float64).reshape(-1)
        if not np.isfinite(values).all():
            raise ValueError(f"Field '{field.name}' has missing or infinite values in the samples.")
        yield field, values
        start = stop


def _normalised(image: MultiImage, fields: tuple[FieldSpec, ...]) -> MultiImage:
    _check_type(image, fields)
    mean, scale = (_float32(values) for values in affine(fields, image.ndim))
    return host_image((np.asarray(image.array) - mean) / scale, image.field_type, image.boundary)


def _float32(values: tuple[float, ...]) -> Float[np.ndarray, " features"]:
    return np.array(values, np.float32)


def _check_type(image: MultiImage, fields: Sequence[FieldSpec]) -> None:
    if image.field_type != field_type_of(fields):
        raise ValueError(
            f"The fields {[field.name for field in fields]} are of type {field_type_of(fields)}, but the samples hold "
            f"{image.field_type}."
        )
