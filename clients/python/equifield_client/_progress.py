"""A bar that shows how far a job is."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ._job_status import JobStatus
from ._text import clean


class Rate(ProgressColumn):
    """Steps per second, once some are done."""

    def render(self, task: Task) -> Text:
        """The rate of one task."""
        return Text("" if task.speed is None else f"{task.speed:.3g} steps/s")


@contextlib.contextmanager
def bar(job_id: str) -> Iterator[Callable[[JobStatus], None]]:
    """A bar on stderr, where someone is watching; gives what takes the states."""
    console = Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        yield lambda status: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), Rate())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as shown:
        task = shown.add_task(clean(job_id, 8), total=None)

        def tell(status: JobStatus) -> None:
            about = f"{clean(status.model, 40)} {clean(status.id, 8)} {clean(status.status, 20)}"
            shown.update(task, description=about, total=status.steps, completed=status.step)

        yield tell
