"""Training: losses and a deterministic loop."""

from importlib.util import find_spec

if find_spec("optax") is None:
    raise ImportError("`equifield.train` needs optax. Install with: pip install 'equifield[train]'")

from ._baseline import Baseline as Baseline
from ._checkpoints import Checkpoints as Checkpoints
from ._checkpoints import OtherTraining as OtherTraining
from ._fit import Fit as Fit
from ._fit import fit as fit
from ._losses import divergence_smse as divergence_smse
from ._losses import normalised_smse as normalised_smse
from ._losses import nrmse as nrmse
from ._losses import nrmse_per_pixel as nrmse_per_pixel
from ._losses import smse as smse
from ._losses import spectral_smse as spectral_smse
from ._objectives import Forecast as Forecast
from ._objectives import Regression as Regression
from ._objectives import weighted as weighted
from ._state import Epoch as Epoch
