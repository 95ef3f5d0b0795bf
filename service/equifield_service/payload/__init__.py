"""From a user's file to a packed array and back, in processes that a hostile file can only end.

This package's surface is for the gateway: importing it loads no NetCDF library. The modules that open
files (`handling` and below) are imported by the payload processes alone.
"""

from .pool import PayloadPool as PayloadPool
from .values import Decoded as Decoded
from .values import Frame as Frame
from .values import Kind as Kind
from .values import Limits as Limits
from .values import Missing as Missing
from .values import Precision as Precision
from .values import Progress as Progress
from .values import ReadOptions as ReadOptions
from .values import Stagger as Stagger
from .values import WriteOptions as WriteOptions
