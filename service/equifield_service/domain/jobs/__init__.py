"""Long work that is not lost: the ledger, which knows every job, and the spool, which keeps its files.

Who accepts a job writes its input to the spool first and then the row to the ledger: a row without its file is never
seen, a file without its row is swept away. Both know no HTTP and no JAX.
"""

from .job import TRANSITIONS, Checkpoint, Failure, Job, LeaseLost, Order, Piece, Status, new_id
from .ledger import Ledger
from .listing import Page
from .spool import Spool, file_of

__all__ = [
    "TRANSITIONS",
    "Checkpoint",
    "Failure",
    "Job",
    "LeaseLost",
    "Ledger",
    "Order",
    "Page",
    "Piece",
    "Spool",
    "Status",
    "file_of",
    "new_id",
]
