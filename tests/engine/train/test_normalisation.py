"""Normalising commutes with the group, and its statistics are those of the samples."""

import jax
import numpy as np
import pytest
from jaxtyping import Float32

from equifield import MultiImage
from equifield.groups import hyperoctahedral
from equifield.package._field_model import field_type_of
from equifield.package.manifest import Component, FieldSpec
from equifield.train.data import Arrays, ArraySeries, Normalised, Pairs, Samples, Windows, normalisation
from equifield.train.data._image import host_image
from tests.engine.laws import numpy_act
from tests.engine.train.numbered import TORUS

B2 = hyperoctahedral(2)
VECTOR = tuple(Component(axes=(axis,), variable=name) for axis, name in zip("xy", "uv", strict=True))
FIELDS = (
    FieldSpec(name="wind", order=1, components=VECTOR),
    FieldSpec(name="spin", order=0, parity=1, components=(Component(variable="w"),)),
    FieldSpec(name="heat", order=0, components=(Component(variable="t"),)),
    FieldSpec(name="salt", order=0, components=(Component(variable="s"),)),
)
PACKED = ("heat", "salt", "spin", "wind", "wind")
SIZES = np.array([2.0, 1e-3, 5.0, 3.0, 9.0], np.float32)
MEANS = np.array([273.0, 0.1, 4.0, 7.0, -1.0], np.float32)


def states(count: int = 40) -> Float32[np.ndarray, "samples 4 4 5"]:
    noise = np.random.default_rng(0).normal(size=(count, 4, 4, 5)).astype(np.float32)
    return noise * SIZES + MEANS


def image(array: Float32[np.ndarray, "samples 4 4 5"]) -> MultiImage:
    return host_image(array, field_type_of(FIELDS), TORUS)


def test_scalars_are_centred_and_everything_else_is_scaled_alone() -> None:
    array = states()
    found = {field.name: field for field in normalisation(Arrays(image(array)), FIELDS)}
    exact = array.astype(np.float64)
    for name, column in (("heat", 0), ("salt", 1)):
        assert found[name].mean == pytest.approx(exact[..., column].mean(), rel=1e-9)
        assert found[name].scale == pytest.approx(exact[..., column].std(), rel=1e-9)
    assert (found["spin"].mean, found["wind"].mean) == (0, 0)
    assert found["spin"].scale == pytest.approx(np.sqrt((exact[..., 2] ** 2).mean()))
    assert found["wind"].scale == pytest.approx(np.sqrt((exact[..., 3:] ** 2).mean()))


def test_the_order_of_the_fields_is_kept_and_their_packing_is_not_taken_from_it() -> None:
    found = normalisation(Arrays(image(states())), FIELDS)
    assert [field.name for field in found] == [field.name for field in FIELDS]
    assert normalisation(Arrays(image(states())), FIELDS[::-1])[::-1] != found, "two scalars change places"


def mapped(samples: Samples) -> MultiImage:
    """The first samples, on the device."""
    first: MultiImage = jax.device_put(samples[np.arange(3)])
    return first


def test_normalising_commutes_with_every_element() -> None:
    plain = Arrays(image(states()))
    fields = normalisation(plain, FIELDS)
    for g in B2:
        turned = Arrays(numpy_act(g, jax.device_put(plain.tree)))
        for field, other in zip(fields, normalisation(turned, FIELDS), strict=True):
            assert (field.mean, field.scale) == pytest.approx((other.mean, other.scale), rel=1e-9)
        law = numpy_act(g, mapped(Normalised(plain, fields)))
        np.testing.assert_allclose(mapped(Normalised(turned, fields)).array, law.array, rtol=1e-6, atol=1e-6)


def test_a_scale_for_each_component_would_not_commute() -> None:
    array = states()
    scales = array.std(axis=(0, 1, 2))
    quarter = next(g for g in B2 if g.images == (1, 0))
    first = numpy_act(quarter, jax.device_put(image(array / scales)))
    last = np.asarray(numpy_act(quarter, jax.device_put(image(array))).array) / scales
    assert np.abs(np.asarray(first.array) - last).max() > 0.1


def test_what_is_normalised_has_mean_zero_and_size_one() -> None:
    samples = Arrays(image(states(200)))
    array = Normalised(samples, normalisation(samples, FIELDS))[np.arange(200)].array
    assert array.dtype == np.float32
    np.testing.assert_allclose(array[..., :2].mean(axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(array[..., :2].std(axis=(0, 1, 2)), 1, rtol=1e-3)
    np.testing.assert_allclose(np.square(array[..., 3:]).mean(), 1, rtol=1e-3)


def test_a_bounded_choice_is_seeded_and_near_the_whole() -> None:
    series = ArraySeries(states(400).reshape(4, 100, 4, 4, 5), field_type_of(FIELDS), TORUS)
    some = [normalisation(series, FIELDS, most=50, seed=seed) for seed in (0, 0, 1)]
    whole = normalisation(series, FIELDS)
    assert some[0] == some[1] != some[2]
    for field, all_of_it in zip(some[0], whole, strict=True):
        assert field.scale == pytest.approx(all_of_it.scale, rel=0.1)


def test_windows_and_pairs_are_normalised_part_by_part() -> None:
    series = ArraySeries(states(40).reshape(4, 10, 4, 4, 5), field_type_of(FIELDS), TORUS)
    fields = normalisation(series, FIELDS)
    history, future = Normalised(Windows(series, past=2), fields, fields)[np.arange(4)]
    raw, _ = Windows(series, past=2)[np.arange(4)]
    means, scales = (
        np.array([getattr(f, what) for n in PACKED for f in fields if f.name == n]) for what in ("mean", "scale")
    )
    assert history.array.shape == (4, 2, 4, 4, 5) and future.array.shape == (4, 1, 4, 4, 5)
    np.testing.assert_allclose(history.array, (raw.array - means) / scales, rtol=1e-3, atol=1e-3)
    x, y = Normalised(Pairs(series, series), fields, FIELDS)[np.arange(2)]
    np.testing.assert_array_equal(y.array, series.read(0, slice(0, 2)))
    assert np.abs(x.array).max() < 6
    with pytest.raises(ValueError, match="there are 2 images, but fields for 1"):
        Normalised(Windows(series), fields)[np.arange(1)]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (2, 0.0, "'spin' vanishes everywhere"),
        (0, 0.0, "'heat' vanishes everywhere"),
        (0, 273.15, "'heat' is 273.1.* everywhere"),
        (1, np.nan, "'salt' has missing or infinite values"),
        (3, np.inf, "'wind' has missing or infinite values"),
    ],
    ids=["pseudoscalar", "scalar", "constant", "missing", "infinite"],
)
def test_a_field_without_a_scale_is_refused(column: int, value: float, message: str) -> None:
    array = states()
    array[..., column] = value
    with pytest.raises(ValueError, match=message):
        normalisation(Arrays(image(array)), FIELDS)


def test_samples_of_other_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="but the samples hold"):
        normalisation(Arrays(image(states())), FIELDS[:2])
    with pytest.raises(ValueError, match="but the samples hold"):
        Normalised(Arrays(image(states())), FIELDS[:2])[np.arange(1)]
