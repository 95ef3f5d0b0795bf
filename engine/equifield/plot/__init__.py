"""Pictures of fields. Needs matplotlib, which is imported when a picture is drawn: pip install 'equifield[plot]'.

Arrays are indexed `[x, y]`: grid axis 0 runs to the right and axis 1 upwards, so that component 0 of a vector points
to the right.
"""

from ._arrows import vectors as vectors
from ._arrows import vectors_over_scalars as vectors_over_scalars
from ._arrows import vectors_over_speed as vectors_over_speed
from ._colours import scalars as scalars
from ._ellipses import tensors as tensors
from ._figure import fields as fields
from ._lines import lines as lines
from ._lines import spectra as spectra
from ._spectrum import power_spectrum as power_spectrum
