"""Admission, queues, batches and deadlines; pure asyncio, without a word of HTTP or JAX."""

from .admission import Admission as Admission
from .admission import Guest as Guest
from .scheduler import Device as Device
from .scheduler import Scheduler as Scheduler
from .work import Array as Array
from .work import BatchKey as BatchKey
from .work import NotPrepared as NotPrepared
from .work import Precision as Precision
from .work import Predicted as Predicted
from .work import Priority as Priority
