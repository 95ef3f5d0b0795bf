"""Differential operators on tensor images, typed by order and parity."""

from ._curl import curl as curl
from ._divergence import divergence as divergence
from ._gradient import gradient as gradient
from ._helmholtz import helmholtz_projection as helmholtz_projection
from ._laplacian import laplacian as laplacian
