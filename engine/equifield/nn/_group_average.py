"""Making any function commute with a group by averaging over it."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from ..groups import Group, SignedPermutation
from ..multi_image import MultiImage
from ..ops import act, act_by_index
from ._check import check_type


class GroupAverage(eqx.Module):
    """The mean over the group of g^-1 f(g x), which commutes with the group whatever the function f is.

    Costs as many evaluations of f as the group has elements (the Reynolds operator; Yarotsky 2018, Universal
    approximations of invariant maps by neural networks). May wrap an unconstrained network in training, or only
    afterwards. All elements that leave the shape of the grid alone run in one batch.
    """

    model: Callable[[MultiImage], MultiImage]
    group: Group = eqx.field(static=True)
    batch_size: int | None = eqx.field(static=True)

    def __init__(self, model: Callable[[MultiImage], MultiImage], group: Group, *, batch_size: int | None = None):
        """**Arguments:**

        - model: any function from images to images; nothing else about it is known.
        - group: the group the average commutes with.
        - batch_size: how many elements run at once; by default all, fewer take less memory.

        **Raises:** `ValueError` for a batch size below 1.
        """
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"`GroupAverage(batch_size={batch_size})` needs at least one element at once.")
        self.model = model
        self.group = group
        self.batch_size = batch_size

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps what `model` maps, to the grid and the fields that it gives.

        **Raises:** `ValueError` when the group acts on another number of axes, and when `model` changes the shape of
        the grid in a way that the group does not preserve.
        """
        check_type(self, image, image.field_type, self.group)
        kinds: dict[object, list[SignedPermutation]] = {}
        for g in self.group:
            kinds.setdefault((g.permute(image.grid), g.permute(image.boundary)), []).append(g)
        first, *others = (self._coset(elements, image) for elements in kinds.values())
        return sum(others, first) / len(kinds)

    def _coset(self, elements: list[SignedPermutation], image: MultiImage) -> MultiImage:
        """The mean over the elements that give one grid: h r with one r, and every h that keeps this grid."""
        r = elements[0]
        keep = Group(f"{self.group} on one grid", tuple(g @ r.inverse() for g in elements))
        inverses = jnp.asarray([keep.index(h.inverse()) for h in keep])
        turned = act(r, image)

        def one(index: jax.Array) -> MultiImage:
            return act_by_index(keep, inverses[index], self.model(act_by_index(keep, index, turned)))

        outputs = jax.lax.map(one, jnp.arange(keep.order), batch_size=self.batch_size or keep.order)
        return act(r.inverse(), outputs.with_array(jnp.mean(outputs.array, axis=0)))
