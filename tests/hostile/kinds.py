"""The list of hostile, damaged and odd files: each is made anew, and has the answers that it may get."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Make = Callable[[], bytes]

OK, MALFORMED, TOO_LARGE, NOT_TAKEN, UNFIT = 200, 400, 413, 415, 422


@dataclass(frozen=True)
class Kind:
    """One file: how it is made, the HTTP statuses that it may be answered with, and the `map` of the request."""

    name: str
    make: Make
    answers: frozenset[int]
    asked: Mapping[str, str] = field(default_factory=dict)


KINDS: dict[str, Kind] = {}


def kind(*answers: int, **asked: str) -> Callable[[Make], Make]:
    """Adds what a function makes to the list, under its name; `asked` says which variable is which component."""

    def add(make: Make) -> Make:
        KINDS[make.__name__] = Kind(make.__name__, make, frozenset(answers), asked)
        return make

    return add


def add(name: str, make: Make, *answers: int, **asked: str) -> None:
    """Adds a file to the list by name."""
    KINDS[name] = Kind(name, make, frozenset(answers), asked)
