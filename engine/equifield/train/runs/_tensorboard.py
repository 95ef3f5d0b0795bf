"""The log that TensorBoard reads."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import text

from ._log import Write
from .recipe import Recipe

EVENTS = "tensorboard"


@contextmanager
def tensorboard(folder: Path, recipe: Recipe, first: int) -> Iterator[Write]:
    """A file of events in the folder `tensorboard`, a new one each time that a training goes on.

    It begins with the mark by which TensorBoard drops the epoch `first` and later ones from the files before it. What
    is written is on the disk at once, as a checkpoint is: tensorboardX's `SummaryWriter` holds it back for two minutes.
    """
    events = folder / EVENTS
    events.mkdir(exist_ok=True)
    with closing(RecordWriter(str(events / f"events.out.tfevents.{time.time_ns()}"))) as file:

        def put(step: int, **content: Any) -> None:
            file.write(Event(wall_time=time.time(), step=step, **content).SerializeToString())
            file.flush()

        put(first, file_version="brain.Event:2")
        put(first, session_log=SessionLog(status=SessionLog.START))
        put(first, summary=text("recipe", f"```json\n{recipe.model_dump_json(indent=2)}\n```"))
        yield lambda epoch, values: put(
            epoch, summary=Summary(value=[Summary.Value(tag=name, simple_value=values[name]) for name in values])
        )
