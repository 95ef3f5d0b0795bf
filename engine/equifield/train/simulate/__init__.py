"""Data from simulations: turbulence in two dimensions, its sub-grid stress, and Burgers' equation in three."""

from ._burgers import Burgers3D as Burgers3D
from ._decaying_turbulence import DecayingTurbulence2D as DecayingTurbulence2D
from ._forced_turbulence import ForcedTurbulence2D as ForcedTurbulence2D
from ._gradient_model import gradient_model as gradient_model
from ._smagorinsky import deviatoric as deviatoric
from ._smagorinsky import fit_smagorinsky as fit_smagorinsky
from ._smagorinsky import smagorinsky as smagorinsky
from ._subgrid_stress import SubgridStress2D as SubgridStress2D
