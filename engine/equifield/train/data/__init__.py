"""Data to train on: trajectories in memory and in files, windows over them, normalisation, batches."""

from ._batches import batches as batches
from ._coarsened import Coarsened as Coarsened
from ._excerpt import Excerpt as Excerpt
from ._netcdf import NetCDFSeries as NetCDFSeries
from ._normalisation import Normalised as Normalised
from ._normalisation import normalisation as normalisation
from ._pairs import Pairs as Pairs
from ._pdebench import PDEBenchSeries as PDEBenchSeries
from ._samples import Arrays as Arrays
from ._samples import Samples as Samples
from ._series import ArraySeries as ArraySeries
from ._series import Series as Series
from ._split import split as split
from ._states import Constants as Constants
from ._states import States as States
from ._well import WellSeries as WellSeries
from ._windows import Windows as Windows
