"""A tensor that says it has a symmetry has it; a word that nobody knows, and one on a vector, are refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from equifield_service.domain.errors import MissingValues, SchemaMismatch

Write = Callable[..., bytes]

SCHEMA = {"tensor_order": np.int32(2), "tensor_dims": "i j", "tensor_axes": "x y"}


def made(symmetry: Any) -> xr.Dataset:
    """A stacked tensor on (time, y, x) of 2 x 4 x 6, y decreasing, that is symmetric, or what the words say."""
    values = np.random.default_rng(3).normal(size=(2, 4, 6, 2, 2))
    words = str(symmetry).split()
    values += (-1 if "antisymmetric" in words else 1) * values.swapaxes(-1, -2)
    if "traceless" in words:
        values -= np.trace(values, axis1=-1, axis2=-2)[..., None, None] * np.eye(2) / 2
    attributes = SCHEMA if symmetry is None else SCHEMA | {"tensor_symmetry": symmetry}
    coordinates = {"x": np.arange(6.0), "y": np.arange(4.0)[::-1]}
    return xr.Dataset({"stress": (("time", "y", "x", "i", "j"), 1e-5 * values, attributes)}, coords=coordinates)


@pytest.mark.parametrize("words", ["symmetric", "antisymmetric", "traceless", "symmetric traceless", ""])
@pytest.mark.parametrize("dtype", ["f4", "i2"], ids=["floats", "packed"])
def test_values_that_have_their_symmetry_are_read(pool: Any, stress: Any, write: Write, words: str, dtype: str) -> None:
    data = made(words)
    scale = float(np.abs(data.stress).max()) / 32767
    packing = {"dtype": "i2", "scale_factor": scale, "_FillValue": -32768} if dtype == "i2" else {"dtype": "f4"}
    assert pool.decode(write(data, encoding={"stress": packing}), stress).array.shape == (2, 6, 4, 4)


@pytest.mark.parametrize(
    ("words", "place", "change"),
    [
        ("symmetric", {"i": 0, "j": 1}, 2.0),
        ("antisymmetric", {"i": 0, "j": 0}, 1.0),
        ("symmetric traceless", {"i": 1, "j": 1}, 1.0),
    ],
    ids=["symmetric", "antisymmetric", "traceless"],
)
def test_values_that_contradict_it_are_refused_with_the_first_position_in_the_file(
    pool: Any, stress: Any, write: Write, words: str, place: dict[str, int], change: float
) -> None:
    data = made(words)
    for first in ({"time": 1, "y": 0, "x": 2}, {"time": 1, "y": 3, "x": 1}):
        data.stress[first | place] += 1e-7 * change
    word = words.split()[-1]
    with pytest.raises(SchemaMismatch, match=rf"not {word} at 2 of 48 points.*\(time=1, y=0, x=2\)") as refusal:
        pool.decode(write(data), stress)
    assert refusal.value.extra["first"] == {"time": 1, "y": 0, "x": 2}


def test_the_same_values_without_the_attribute_are_read(pool: Any, stress: Any, write: Write) -> None:
    data = made(None)
    data.stress[0, 0, 0, 0, 1] += 1.0
    assert pool.decode(write(data), stress).array.shape == (2, 6, 4, 4)


def test_components_in_variables_of_their_own_are_held_against_it_too(pool: Any, stress: Any, write: Write) -> None:
    whole = made("symmetric").stress.isel(time=0)
    parts = {f"s{a}{b}": whole.isel(i="xy".index(a), j="xy".index(b), drop=True) for a in "xy" for b in "xy"}
    data = xr.Dataset(
        {name: part.assign_attrs({"tensor_symmetry": "symmetric"}, tensor_dims="") for name, part in parts.items()}
    )
    for part in data.data_vars.values():
        del part.attrs["tensor_order"], part.attrs["tensor_dims"], part.attrs["tensor_axes"]
    assert pool.decode(write(data), stress).array.shape == (1, 6, 4, 4)
    data.sxy[2, 3] += 1.0
    with pytest.raises(SchemaMismatch, match=r"not symmetric at 1 of 24 points, the first at \(y=2, x=3\)"):
        pool.decode(write(data), stress)


def test_a_missing_value_has_any_symmetry(pool: Any, stress: Any, write: Write) -> None:
    data = made("symmetric")
    data.stress[0, 1, 2, 0, 1] = np.nan
    assert pool.decode(write(data), stress, missing="zero").array[0, 2, 2, 1] == 0.0
    with pytest.raises(MissingValues):
        pool.decode(write(data), stress)


@pytest.mark.parametrize("value", ["symetric", "symmetric hermitian", np.int32(1)], ids=["misspelt", "one of two", "1"])
def test_a_word_that_is_not_known_is_refused_with_those_that_are(
    pool: Any, stress: Any, write: Write, value: Any
) -> None:
    data = made("symmetric")
    data.stress.attrs["tensor_symmetry"] = value
    with pytest.raises(SchemaMismatch, match="'symmetric', 'antisymmetric', 'traceless'"):
        pool.decode(write(data), stress)


def test_a_vector_has_no_symmetry(pool: Any, models: Any, write: Write, wind: xr.Dataset) -> None:
    wind.u.attrs["tensor_symmetry"] = "symmetric"
    with pytest.raises(SchemaMismatch, match="'velocity' of the model has order 1"):
        pool.decode(write(wind), models.velocity)


def test_an_answer_claims_the_symmetry_that_its_model_promises_and_no_other(
    pool: Any, stress: Any, models: Any, write: Write
) -> None:
    promised = models.of(stress.outputs[0].model_copy(update={"symmetry": ("symmetric", "traceless")}))
    split = made(None).stress
    parts = {component.variable: split[..., 0, 0] for component in stress.inputs[0].components}
    for sent in (made("symmetric"), xr.Dataset(parts)):
        assert not claims(pool.there_and_back(write(sent), stress))
        back = pool.there_and_back(write(sent), promised)
        assert len(claims(back)) == len(sent.data_vars) and set(claims(back)) == {"symmetric traceless"}


def claims(answer: xr.Dataset) -> list[str]:
    """What the variables of an answer say of their symmetry."""
    return [answer[name].attrs["tensor_symmetry"] for name in answer if "tensor_symmetry" in answer[name].attrs]
