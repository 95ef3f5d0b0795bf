"""The law f(g x) = g f(x), checked for all elements of a group at once, with an oracle independent of the engine."""

from collections.abc import Callable, Iterator

import jax.numpy as jnp
import numpy as np

from equifield import Group, MultiImage, SignedPermutation

Function = Callable[[MultiImage], MultiImage]


def numpy_act(element: SignedPermutation, image: MultiImage) -> MultiImage:
    """(g.x)(a) = rho(g) x(g^-1 a), pixel by pixel from the definition, in numpy."""
    array, blocks = np.asarray(image.array), []
    for representation, place in image.field_type.slices(image.ndim).items():
        matrix = representation.matrix(element).astype(array.dtype)
        values = array[..., place].reshape(*array.shape[:-1], -1, len(matrix))
        blocks.append((values @ matrix.T).reshape(*array.shape[:-1], -1))
    packed = np.concatenate(blocks, axis=-1)
    sides = np.array(element.permute(image.grid))
    targets = np.indices(tuple(sides)).reshape(image.ndim, -1).T
    centred = 2 * targets - (sides - 1)
    sources = (centred @ element.matrix.astype(int) + np.array(image.grid) - 1) // 2
    taken = packed[(..., *sources.T, slice(None))]
    turned = taken.reshape(*image.batch, *sides, packed.shape[-1])
    return MultiImage(jnp.asarray(turned), image.field_type, element.permute(image.boundary))


def stacked(images: list[MultiImage]) -> MultiImage:
    """Images of equal grid, type and boundary along a new first batch axis."""
    first = images[0]
    return MultiImage(jnp.asarray(np.stack([image.array for image in images])), first.field_type, first.boundary)


def alike(image: MultiImage, group: Group) -> Iterator[list[SignedPermutation]]:
    """The elements of a group, collected by the grid and boundaries that they give the image."""
    kinds: dict[object, list[SignedPermutation]] = {}
    for g in group:
        kinds.setdefault((g.permute(image.grid), g.permute(image.boundary)), []).append(g)
    yield from kinds.values()


def worst_error(function: Function, image: MultiImage, group: Group) -> float:
    """The largest ||f(g x) - g f(x)|| / ||f(x)|| over all elements; one call of f per kind of grid."""
    kinds = list(alike(image, group))
    outputs = [function(stacked([numpy_act(g, image) for g in elements])) for elements in kinds]
    expected = outputs[0].with_array(jnp.asarray(np.asarray(outputs[0].array)[0]))  # a group lists the identity first
    size = float(np.linalg.norm(np.asarray(expected.array, np.float64)))
    errors = []
    for elements, together in zip(kinds, outputs, strict=True):
        for g, output in zip(elements, np.asarray(together.array, np.float64), strict=True):
            law = numpy_act(g, expected)
            assert together.boundary == law.boundary, f"{g}: boundaries {together.boundary}, not {law.boundary}"
            assert output.shape == law.array.shape, f"{g}: shape {output.shape}, not {law.array.shape}"
            errors.append(np.linalg.norm(output - np.asarray(law.array, np.float64)) / (size or 1.0))
    return float(np.max(errors))


def assert_commutes(function: Function, image: MultiImage, group: Group, tolerance: float) -> None:
    """**Raises** `AssertionError` unless f(g x) = g f(x) for every element, up to a relative tolerance."""
    error = worst_error(function, image, group)
    assert error <= tolerance, f"relative error {error} > {tolerance}"
