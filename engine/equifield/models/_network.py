"""What every architecture is."""

from abc import abstractmethod

import equinox as eqx

from ..multi_image import MultiImage


class AbstractNetwork(eqx.Module):
    """A network from images to images, which commutes with a group and with translations.

    It keeps the grid, or divides every pixel into as many finer ones along each axis.
    """

    @property
    @abstractmethod
    def translation_step(self) -> int:
        """The network commutes with translations by multiples of this many pixels of its input.

        Along periodic axes sides must be multiples of it too.
        """

    @abstractmethod
    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields to fields on the same grid or a finer one."""
