"""Where the taps of a convolution lie, and one ordinary convolution over packed features."""

from dataclasses import dataclass

import jax
from jaxtyping import Array, Float

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage
from ..ops import pad
from ..ops._per_axis import PerAxis


@dataclass(frozen=True)
class Stencil:
    """The size, stride and dilation of a kernel along each grid axis.

    The outputs lie symmetrically on the input grid, which is what reflections and rotations need. When extent and
    stride are both odd or both even, the axis is cut into cells of `stride` pixels with one output in the middle of
    each: n pixels become n / stride. Otherwise the first and the last output lie on the first and the last pixel, for
    odd extents, or half a pixel inside of them, for even ones; a torus has no such ends. A transposed stencil goes the
    other way.
    """

    sizes: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool

    @classmethod
    def on(cls, group: Group, size: PerAxis, stride: PerAxis, dilation: PerAxis, transposed: bool) -> "Stencil":
        """One number for all axes, or one for each. **Raises** `ValueError` when the group mixes unequal axes."""
        settings: list[tuple[int, ...]] = []
        for name, setting in (("kernel_size", size), ("stride", stride), ("dilation", dilation)):
            per_axis = (setting,) * group.dimension if isinstance(setting, int) else setting
            if len(per_axis) != group.dimension or min(per_axis) < 1:
                raise ValueError(f"`{name}={setting}` needs one positive number per axis, {group.dimension} of them.")
            for element in group:
                if element.permute(per_axis) != per_axis:
                    raise ValueError(
                        f"`{name}={setting}` is not mapped to itself by {element} of the group {group}. Give equal "
                        f"numbers to the axes it exchanges, or use a group without it such as flips{group.dimension}."
                    )
            settings.append(per_axis)
        sizes, strides, dilations = settings
        return cls(sizes, strides, dilations, transposed)

    @property
    def extents(self) -> tuple[int, ...]:
        """How many pixels the kernel spans along each axis."""
        return tuple((size - 1) * dilation + 1 for size, dilation in zip(self.sizes, self.dilation, strict=True))

    def margin(self, axis: int) -> int:
        """How far the kernel reaches beyond both ends of an axis, in pixels of the finer grid."""
        extent, stride = self.extents[axis], self.stride[axis]
        return (extent - stride) // 2 if (extent - stride) % 2 == 0 else (extent - 1) // 2

    def window(self, padded: Float[Array, "*leading_padded"], tap: tuple[int, ...]) -> Float[Array, "*leading_grid"]:
        """What one tap of a kernel that is not transposed sees of a padded image, for every output."""
        sides, starts = padded.shape[-len(tap) :], (a * step for a, step in zip(tap, self.dilation, strict=True))
        windows = (
            slice(start, start + side - extent + 1, stride)
            for start, side, extent, stride in zip(starts, sides, self.extents, self.stride, strict=True)
        )
        return padded[(..., *windows)]

    def check(self, image: MultiImage) -> None:
        """**Raises** `ValueError` for a grid on which the outputs cannot lie symmetrically, with sides that can."""
        for axis, (side, kind) in enumerate(zip(image.grid, image.boundary, strict=True)):
            extent, stride = self.extents[axis], self.stride[axis]
            if (extent - stride) % 2 and kind == "periodic":
                raise ValueError(
                    f"A kernel of extent {extent} with stride {stride} has no symmetric place on the periodic grid "
                    f"axis {axis}. Use an extent and a stride that are both odd or both even."
                )
            least = extent - 2 * self.margin(axis)
            rest = (side - least) % stride
            if not self.transposed and (rest or side < least):
                fits = sorted({max(side - rest, least), max(side - rest + stride, least)})
                raise ValueError(
                    f"A kernel of extent {extent} with stride {stride} cannot lie symmetrically on {side} pixels of "
                    f"grid axis {axis}: a reflection would give other outputs. Sides that work: "
                    f"{' or '.join(map(str, fits))}."
                )

    def convolve(
        self,
        image: MultiImage,
        kernel: Float[Array, "*sizes in_features out_features"],
        bias: Float[Array, " out_features"] | None,
        out_type: FieldType,
    ) -> MultiImage:
        """One ordinary convolution over all packed features, channel-last. **Raises** `ValueError` as `check`."""
        self.check(image)
        ones = (1,) * image.ndim
        margins = tuple(self.margin(axis) for axis in range(image.ndim))
        crop = (0,) * image.ndim
        if self.transposed:
            reach = tuple(extent - 1 - margin for extent, margin in zip(self.extents, margins, strict=True))
            margins = tuple(max(0, -(-r // stride)) for r, stride in zip(reach, self.stride, strict=True))
            crop = tuple(m * stride - r for m, stride, r in zip(margins, self.stride, reach, strict=True))
        padded = pad(image, margins, margins)
        letters = "XYZW"[: image.ndim]
        features = jax.lax.conv_general_dilated(
            padded.reshape(-1, *padded.shape[-1 - image.ndim :]),
            kernel.astype(image.array.dtype),
            window_strides=ones if self.transposed else self.stride,
            padding=[(-c, -c) for c in crop],
            lhs_dilation=self.stride if self.transposed else ones,
            rhs_dilation=self.dilation,
            dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
            precision=jax.lax.Precision.HIGHEST,
        )
        if bias is not None:
            features = features + bias.astype(features.dtype)
        return MultiImage(features.reshape(*image.batch, *features.shape[1:]), out_type, image.boundary)
