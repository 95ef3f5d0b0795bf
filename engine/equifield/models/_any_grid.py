"""Grids of any size, by padding."""

from ..multi_image import MultiImage
from ..ops import pad
from ._network import AbstractNetwork


class AnyGrid(AbstractNetwork):
    """Extends an image symmetrically to the next grid that a network takes, and cuts the prediction back.

    The image continues beyond its edges as its boundary says. Commutes with what the network commutes with, because as
    many pixels are added at one end as at the other. So an axis of odd length cannot become even; and a
    periodic axis cannot be extended at all, because on a longer torus the translations are others.
    """

    network: AbstractNetwork

    def __init__(self, network: AbstractNetwork):
        """**Arguments:**

        - network: the network that asks for sides which are multiples of its `translation_step`.
        """
        self.network = network

    @property
    def translation_step(self) -> int:
        """Along periodic axes it commutes with translations by multiples of this many pixels."""
        return self.network.translation_step

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields to fields on the same grid, or on one as many times finer as the network's.

        **Raises:** `ValueError` for a side that no symmetric padding can bring to a multiple of `translation_step`, and
        for a periodic axis that is none, with sides that work.
        """
        margins = tuple(self._margin(image, axis) for axis in range(image.ndim))
        extended = image.with_array(pad(image, margins, margins))
        prediction = self.network(extended)
        finer = [fine // side for fine, side in zip(prediction.grid, extended.grid, strict=True)]
        crops = tuple(-margin * factor for margin, factor in zip(margins, finer, strict=True))
        return prediction.with_array(pad(prediction, crops, crops))

    def _margin(self, image: MultiImage, axis: int) -> int:
        """The fewest pixels to add at both ends of an axis."""
        side, step, periodic = image.grid[axis], self.translation_step, image.boundary[axis] == "periodic"
        if side % step == 0:
            return 0
        fits = [margin for margin in range(step) if (side + 2 * margin) % step == 0]
        if periodic or not fits:
            near = [n for n in range(max(1, side - step), side + step + 1) if n % (step if periodic else 2) == 0]
            raise ValueError(
                f"`AnyGrid` cannot extend grid axis {axis} of {side} pixels to a multiple of {step}: "
                + ("it is periodic, and translations would be lost. " if periodic else "an odd number is missing. ")
                + f"Sides that work: {' or '.join(map(str, sorted(near, key=lambda n: abs(n - side))[:2]))}."
            )
        return fits[0]
