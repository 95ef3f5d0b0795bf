"""Who is next: lines of samples by key and priority."""

from collections import deque
from dataclasses import dataclass, field

from .work import Batch, BatchKey, Priority, Samples, Share

PATIENCE = 8
"""After so many interactive batches in a row, one of low priority has its turn."""

Line = deque[Share]


class Queue:
    """Samples that wait for the device, in a line per key and priority.

    Interactive lines go before batch lines; within one priority, the line whose first has waited longest. What gave
    up or expired is dropped when it is met.
    """

    def __init__(self) -> None:
        self._lines: dict[Priority, dict[BatchKey, Line]] = {"interactive": {}, "batch": {}}
        self._closed: set[BatchKey] = set()
        self._in_a_row = 0

    def add(self, work: Samples) -> None:
        """Puts a request at the end of its line."""
        self._line(work).append(Share(work, 0, len(work.array)))

    def put_back(self, batch: Batch) -> None:
        """Puts a batch that could not be taken at the front of where it came from."""
        for share in reversed(batch.shares):
            self._line(share.work).appendleft(share)

    def close(self, key: BatchKey) -> None:
        """Takes nothing of this key until `open`: the device is not prepared for it."""
        self._closed.add(key)

    def open(self, key: BatchKey) -> None:
        """Takes samples of this key again."""
        self._closed.discard(key)

    def remove(self, key: BatchKey) -> list[Samples]:
        """Takes every request of a key out of its lines, in order."""
        lines = [lines.pop(key, Line()) for lines in self._lines.values()]
        return list(dict.fromkeys(share.work for line in lines for share in line))

    def clear(self) -> list[Samples]:
        """Takes out everything."""
        keys = dict.fromkeys(key for lines in self._lines.values() for key in lines)
        return [work for key in keys for work in self.remove(key)]

    def take(self, now: float, *, full: bool) -> Batch | None:
        """The next batch; None when there is none, or none of them is full when one has to be.

        A full batch lets those before it go before it, full or not: nobody is overtaken for being few.
        """
        self._drop_unwanted(now)
        in_order = [(priority, key) for priority in self._order() for key in self._by_age(priority)]
        if not in_order or (full and not any(self._is_full(key) for _, key in in_order)):
            return None
        priority, key = in_order[0]
        self._note(priority)
        return Batch(key, tuple(self._gather(priority, key, self._lines[priority][key][0].work.limit)))

    def _gather(self, first: Priority, key: BatchKey, room: int) -> list[Share]:
        """Fills a batch from the line of one priority; what room is left, with the same key of the other."""
        shares: list[Share] = []
        for lines in (self._lines[first], *(lines for name, lines in self._lines.items() if name != first)):
            line = lines.get(key, Line())
            while line and room and not (shares and (line[0].work.alone or shares[0].work.alone)):
                share = line.popleft()
                if share.count > room:
                    share, rest = share.cut(room)
                    line.appendleft(rest)
                room -= share.count
                shares.append(share)
            if not line:
                lines.pop(key, None)
        return shares

    def _order(self) -> tuple[Priority, Priority]:
        patient = self._in_a_row < PATIENCE
        return ("interactive", "batch") if patient else ("batch", "interactive")

    def _note(self, priority: Priority) -> None:
        overtaken = priority == "interactive" and any(key not in self._closed for key in self._lines["batch"])
        self._in_a_row = self._in_a_row + 1 if overtaken else 0

    def _by_age(self, priority: Priority) -> list[BatchKey]:
        open_lines = {key: line for key, line in self._lines[priority].items() if key not in self._closed}
        return sorted(open_lines, key=lambda key: open_lines[key][0].work.arrived)

    def _is_full(self, key: BatchKey) -> bool:
        shares = [share for lines in self._lines.values() for share in lines.get(key, ())]
        return sum(share.count for share in shares) >= shares[0].work.limit

    def _drop_unwanted(self, now: float) -> None:
        for lines in self._lines.values():
            for key, line in list(lines.items()):
                if not all(share.work.wanted(now) for share in line):
                    lines[key] = Line(share for share in line if share.work.wanted(now))
                if not lines[key]:
                    del lines[key]

    def _line(self, work: Samples) -> Line:
        return self._lines[work.priority].setdefault(work.key, Line())


@dataclass(eq=False)
class Lane:
    """What waits for the device, and how many batches of it may be there, and are."""

    most: int
    queue: Queue = field(default_factory=Queue)
    in_flight: int = 0
