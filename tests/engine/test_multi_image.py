import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equifield import FieldType, MultiImage, Representation
from equifield.multi_image import Boundary, random_image
from equifield.representations import Tensor, scalar, vector

BOTH: tuple[Boundary, ...] = ("periodic", "zero")


def image(seed: int = 0, text: str = "2x scalar + 1x vector + 1x tensor(2)") -> MultiImage:
    return random_image(FieldType.parse(text), BOTH, (4, 6), batch=(3,), key=jax.random.key(seed))


def test_fields_are_packed_and_read_back_whatever_the_order() -> None:
    fields: dict[Representation, jax.Array] = {
        Tensor(2): jnp.arange(3 * 4 * 6 * 4.0).reshape(3, 4, 6, 1, 2, 2),
        scalar: jnp.arange(3 * 4 * 6 * 2.0).reshape(3, 4, 6, 2),
    }
    packed = MultiImage.from_fields(fields, BOTH)
    backwards = MultiImage.from_fields(dict(reversed(fields.items())), BOTH)
    np.testing.assert_array_equal(packed.array, backwards.array)
    assert (packed.batch, packed.grid, packed.ndim) == ((3,), (4, 6), 2)
    for representation, values in packed.items():
        np.testing.assert_array_equal(values, fields[representation])


def test_arithmetic_is_that_of_the_fields() -> None:
    x, y = image(0), image(1)
    np.testing.assert_allclose((x + y - y)[vector], x[vector], atol=1e-6)
    np.testing.assert_allclose((2 * x / 4)[scalar], x[scalar] / 2, rtol=1e-6)
    np.testing.assert_array_equal((-x).array, -x.array)


def test_an_image_combines_with_every_sample_of_another() -> None:
    one, others = image(1), [image(2), image(3)]
    many = one.with_array(jnp.stack([other.array for other in others]))
    for combined in ((many + one).array, (one + many).array, (many - (-one)).array):
        np.testing.assert_allclose(combined, jnp.stack([(other + one).array for other in others]), atol=1e-6)


def test_an_image_is_a_pytree_with_one_leaf() -> None:
    assert len(jax.tree.leaves(image())) == 1
    assert jax.tree.structure(image(0)) == jax.tree.structure(image(1))  # type: ignore[operator]
    assert jax.jit(lambda x: x * 2.0)(image()).field_type == image().field_type


def test_images_of_different_types_do_not_add() -> None:
    with pytest.raises(ValueError, match=r"Images combine when type, grid and boundary agree"):
        image() + image(text="2x scalar")


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"needs an array of shape \(\*batch, \*grid, 3\)"):
        MultiImage(jnp.zeros((4, 6, 4)), FieldType.parse("scalar + vector"), BOTH)
    with pytest.raises(ValueError, match="share batch and grid"):
        MultiImage.from_fields({scalar: jnp.zeros((4, 6, 1)), vector: jnp.zeros((4, 4, 1, 2))}, BOTH)
    with pytest.raises((ValueError, TypeError), match="boundary"):
        MultiImage(jnp.zeros((4, 6, 1)), FieldType.parse("scalar"), ("periodic", "open"))  # type: ignore[arg-type]
