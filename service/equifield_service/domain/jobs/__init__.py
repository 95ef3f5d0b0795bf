"""Long work that is not lost: the ledger, which knows every job, and the spool, which keeps its files.

Who accepts a job (the desk) writes its input to the spool first and then the row to the ledger: a row without its file
is never seen, a file without its row is swept away. Who works on it (the runner) holds a lease, and what it has done so
far is in the spool before it counts. None of it knows HTTP or JAX.
"""

from .desk import Desk
from .growing import Available
from .house import Jobs
from .job import TRANSITIONS, Checkpoint, Failure, Job, LeaseLost, Order, Piece, Status, new_id
from .ledger import Ledger
from .listing import Page
from .news import News, tag_of
from .spool import Spool, file_of

__all__ = [
    "TRANSITIONS",
    "Available",
    "Checkpoint",
    "Desk",
    "Failure",
    "Job",
    "Jobs",
    "LeaseLost",
    "Ledger",
    "News",
    "Order",
    "Page",
    "Piece",
    "Spool",
    "Status",
    "file_of",
    "new_id",
    "tag_of",
]
