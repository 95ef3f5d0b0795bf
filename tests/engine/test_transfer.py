"""A network on more axes agrees with the one on fewer whose weights it was given."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, PRNGKeyArray

from equifield import FieldType, MultiImage, Representation, Tensor
from equifield.groups import hyperoctahedral
from equifield.models import DilatedResNet, ResNet, SimpleConv, UNet, transfer_weights
from equifield.multi_image import Boundary, random_image

Keys = Callable[[], PRNGKeyArray]
FIELDS = FieldType.parse("1x scalar + 1x vector")
HIDDEN = FieldType.parse("3x scalar + 2x vector")
SCALARS = FieldType.parse("2x scalar")
SIDE = 4
run = eqx.filter_jit(lambda network, image: network(image))
SMALL: dict[Any, dict[str, Any]] = {
    ResNet: {"num_blocks": 1, "num_convs": 1},
    DilatedResNet: {"num_blocks": 1},
}


def built(kind: Any, axes: int, fields: FieldType, hidden: FieldType, key: PRNGKeyArray, **options: Any) -> Any:
    """A network whose constants are not zero, as after training."""
    settings = {"norm_groups": None} | options
    network = kind(hyperoctahedral(axes), fields, fields, hidden=hidden, **settings, key=key)
    return jax.tree.map(lambda leaf: leaf + 0.1 if leaf.ndim == 2 else leaf, network)


def extended(image: MultiImage) -> MultiImage:
    """The image on one more axis: constant along it, without components along it."""
    fields: dict[Representation, Array] = {}
    for representation in image.field_type.representations:
        assert isinstance(representation, Tensor)
        values = np.asarray(image[representation])
        order = representation.order
        values = np.pad(values, [(0, 0)] * (values.ndim - order) + [(0, 1)] * order)
        axis = len(image.batch) + image.ndim
        fields[representation] = jnp.asarray(np.repeat(np.expand_dims(values, axis), SIDE, axis))
    return MultiImage.from_fields(fields, (*image.boundary, "periodic"))


def disagreement(network: Any, larger: Any, fields: FieldType, axes: int, key: PRNGKeyArray) -> float:
    """How far, relatively, what the larger one gives is from what the other gives."""
    boundary: tuple[Boundary, ...] = ("periodic", "periodic")
    image = random_image(fields, boundary[:axes], (SIDE,) * axes, dtype=jnp.float64, key=key)
    expected = extended(run(network, image)).array
    return float(jnp.linalg.norm(run(larger, extended(image)).array - expected) / jnp.linalg.norm(expected))


@pytest.mark.parametrize(
    "kind, axes",
    [pytest.param(DilatedResNet, 1, marks=pytest.mark.soak), (ResNet, 2)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_with_its_weights_a_larger_network_gives_the_same(kind: Any, axes: int, getkey: Keys) -> None:
    with jax.enable_x64(True):
        network = built(kind, axes, FIELDS, HIDDEN, getkey(), **SMALL[kind])
        fresh = built(kind, axes + 1, FIELDS, HIDDEN, getkey(), **SMALL[kind])
        key = getkey()
        assert disagreement(network, transfer_weights(network, fresh), FIELDS, axes, key) <= 1e-12
        assert disagreement(network, fresh, FIELDS, axes, key) > 0.1


def test_a_transposed_kernel_agrees_on_every_pixel_between(getkey: Keys) -> None:
    with jax.enable_x64(True):
        network, fresh = (
            built(UNet, axes, SCALARS, SCALARS, getkey(), num_downsamples=1, num_convs=1) for axes in (1, 2)
        )
        assert disagreement(network, transfer_weights(network, fresh), SCALARS, 1, getkey()) <= 1e-12


@pytest.mark.soak
def test_where_no_kernel_agrees_it_is_refused_or_the_nearest_taken(getkey: Keys) -> None:
    """Between two pixels a gradient by a kernel of two has no value without a component along the new axis."""
    with jax.enable_x64(True):
        network, fresh = (
            built(UNet, axes, FIELDS, HIDDEN, getkey(), num_downsamples=1, num_convs=1) for axes in (1, 2)
        )
        with pytest.raises(ValueError, match=r"from scalar -> vector: \d+% of it would be lost"):
            transfer_weights(network, fresh)
        key = getkey()
        nearest = disagreement(network, transfer_weights(network, fresh, tolerance=1.0), FIELDS, 1, key)
        assert 1e-3 < nearest < disagreement(network, fresh, FIELDS, 1, key)


def test_what_cannot_agree_is_refused(getkey: Keys) -> None:
    plane = built(SimpleConv, 2, FIELDS, HIDDEN, getkey())
    with pytest.raises(ValueError, match="one architecture"):
        transfer_weights(plane, built(SimpleConv, 3, FIELDS, HIDDEN, getkey(), num_convs=2))
    with pytest.raises(ValueError, match="equal fields"):
        transfer_weights(plane, built(SimpleConv, 3, FIELDS, HIDDEN + SCALARS, getkey()))
    with pytest.raises(ValueError, match="leads to more axes"):
        transfer_weights(plane, built(SimpleConv, 2, FIELDS, HIDDEN, getkey()))
    normalised = [built(ResNet, axes, FIELDS, HIDDEN, getkey(), num_blocks=1, norm_groups=1) for axes in (2, 3)]
    with pytest.raises(ValueError, match="norm_groups=None"):
        transfer_weights(*normalised)


def test_the_curl_of_the_plane_has_no_place_in_space(getkey: Keys) -> None:
    fields = FieldType.parse("1x vector + 1x pseudoscalar")
    plane, space = (built(SimpleConv, axes, fields, fields, getkey(), num_convs=1) for axes in (2, 3))
    with pytest.raises(ValueError, match="100% of it would be lost"):
        transfer_weights(plane, space)
