"""Training: losses and a deterministic loop."""

from importlib.util import find_spec

if find_spec("optax") is None:
    raise ImportError("`equifield.train` needs optax. Install with: pip install 'equifield[train]'")

from ._fit import Epoch as Epoch
from ._fit import Fit as Fit
from ._fit import fit as fit
from ._losses import normalised_smse as normalised_smse
from ._losses import nrmse as nrmse
from ._losses import nrmse_per_pixel as nrmse_per_pixel
from ._losses import smse as smse
