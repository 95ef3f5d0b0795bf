"""What lies beyond the edge of a grid axis."""

from typing import Literal, get_args

Boundary = Literal["periodic", "zero", "reflect", "replicate", "mirror"]
"""What an image of n pixels, x[0] to x[n-1], continues with at x[-1], x[-2], ... (and likewise at the other end):

- `periodic`: x[n-1], x[n-2], ...: the other end follows, as on a torus.
- `zero`: nothing is there.
- `reflect`: x[1], x[2], ...: every component is repeated backwards, without the pixel at the edge.
- `replicate`: x[0], x[0], ...: the value at the edge goes on.
- `mirror`: a solid wall half a pixel beyond the last pixel: its mirror image follows, rho(flip) x[0], rho(flip) x[1],
  ..., so the component of a vector normal to the wall changes sign, and so does a pseudoscalar.
"""

BOUNDARIES: tuple[Boundary, ...] = get_args(Boundary)


def check_boundary(boundary: tuple[str, ...]) -> None:
    """**Raises** `ValueError` unless there is a boundary of each name."""
    for kind in boundary:
        if kind not in BOUNDARIES:
            raise ValueError(f"A boundary is one of {BOUNDARIES}, not {kind!r}.")
