"""Networks of ginjax 0.1.8: ours give what theirs gave, from the files that theirs wrote."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

from equifield import FieldType, MultiImage
from equifield.boundary import Boundary
from equifield.groups import hyperoctahedral
from equifield.interop import ginjax as interop
from equifield.multi_image import random_image
from equifield.representations import pseudoscalar, scalar, vector
from tests.engine.laws import assert_commutes, worst_error

REFERENCE = Path(__file__).parent / "ginjax_reference"
CASES = sorted(path.stem for path in REFERENCE.glob("*.json"))
B2 = hyperoctahedral(2)
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
GetKey = Callable[[], PRNGKeyArray]


def specification(case: str) -> dict[str, Any]:
    specified: dict[str, Any] = json.loads((REFERENCE / f"{case}.json").read_text())
    return specified


def loaded(case: str) -> Any:
    return interop.load_eqx(REFERENCE / f"{case}.eqx", specification(case)["config"])


def stored(case: str, prefix: str) -> dict[interop.Key, np.ndarray]:
    """The input or the output that ginjax's `MultiImage` held."""
    with np.load(REFERENCE / f"{case}.npz") as file:
        names = [name.split() for name in file if name.startswith(prefix)]
        return {(tuple(index == "d" for index in key[:-1]), int(key[-1])): file[f"{name} {key}"] for name, key in names}


def assert_equal_fields(given: MultiImage, expected: dict[interop.Key, np.ndarray]) -> None:
    blocks = interop.to_blocks(given)
    assert blocks.keys() == expected.keys()
    for key, block in expected.items():
        error = np.linalg.norm(blocks[key] - block) / np.linalg.norm(block)
        assert error <= 1e-5, f"{key}: {error}"


@pytest.mark.parametrize("case", CASES)
def test_a_saved_model_gives_what_it_gave_in_ginjax(case: str) -> None:
    image = interop.from_blocks(stored(case, "in"), tuple(specification(case)["is_torus"]))
    assert_equal_fields(eqx.filter_jit(loaded(case))(image), stored(case, "out"))


def test_a_group_norm_gives_what_it_gave_in_ginjax() -> None:
    field_type = FieldType({scalar: 4, pseudoscalar: 2, vector: 4})
    norm = interop.WhiteningNorm(field_type, groups=2)
    with np.load(REFERENCE / "group_norm.npz") as file:
        for part in ("scale", "shift"):
            for tensor in (scalar, pseudoscalar, vector):
                getattr(norm, part)[str(tensor)] = jnp.asarray(file[f"{part} {tensor.order}{tensor.parity}"])
    image = interop.from_blocks(stored("group_norm", "in"), (True, True))
    assert_equal_fields(norm(image), stored("group_norm", "out"))


@pytest.mark.parametrize("case", ["resnet_tensor", "unet"])
def test_the_law_holds_where_ginjax_keeps_it(case: str, getkey: GetKey) -> None:
    network = loaded(case)
    in_type = FieldType.parse(specification(case)["config"]["in_type"])
    image = random_image(in_type, TORUS, (8, 8), key=getkey())
    assert_commutes(eqx.filter_jit(network), image, B2, 2e-5)


def test_a_pseudoscalar_shifted_by_a_norm_breaks_the_law_as_in_ginjax(getkey: GetKey) -> None:
    norm = interop.WhiteningNorm(FieldType({pseudoscalar: 1}))
    image = random_image(FieldType({pseudoscalar: 1}), TORUS, (4, 4), key=getkey())
    assert_commutes(norm, image, B2, 1e-5)
    norm.shift["pseudoscalar"] = jnp.ones(1)
    assert worst_error(norm, image, B2) > 0.5
