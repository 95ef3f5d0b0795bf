"""Plan: what is known of a network before any weight exists, as numbers and as a table."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..boundary import Boundary
from ..nn._stencil import Stencil

Grid = tuple[int, ...]
HEADER = ("layer", "kind", "grid", "gives", "form", "multiply-adds", "bytes", "time", "reason")
AMOUNTS = ("multiply-adds", "bytes", "time")
PREFIXES = " kMGTPEZY"
SHOWN = 3
"""How many of the layers that lack one path are named in the text."""


@dataclass(frozen=True)
class LayerPlan:
    """One layer: where it stands in the network, what it maps, in which form, what it costs, and which paths it lacks.

    Of the network as it was built:

    - place: such as `encoders[0].conv`.
    - filters: how many filters lead from each representation taken to each one given, 0 where the group allows none.
    - missing: the pairs (source, target) without a filter.
    - dropped: the representations taken from which no filter leads anywhere: what they hold is lost here.
    - parameters: trained numbers.

    Of the network merged and folded for inference:

    - kind: such as `Conv`.
    - in_type, out_type, grid, out_grid: what it takes and gives when it is first called.
    - calls: how often one forward pass runs it.
    - stencil: the sizes, stride and dilation of its kernel; None for a layer without filters.
    - form: the name of its form; None for a layer that does not fold, or has been merged into another.
    - reason: why it has this form, or into which layer it has been merged.
    - forms: of a layer that folds, the name of each form and what it is estimated to cost per output pixel, in
        multiply-adds, the cheapest first.
    - seconds: the name of each form and how long it takes, the fastest first; empty where nothing was measured.
    - bytes: what is kept of it, its kernel in this form.
    - multiply_adds, elementwise: as in `Plan`.

    What is not known, because the network was not run that far, is None.
    """

    place: str
    kind: str
    in_type: str | None
    out_type: str | None
    grid: Grid | None
    out_grid: Grid | None
    stencil: Stencil | None
    form: str | None
    reason: str | None
    forms: tuple[tuple[str, int], ...]
    seconds: tuple[tuple[str, float], ...]
    filters: tuple[tuple[str, str, int], ...]
    missing: tuple[tuple[str, str], ...]
    dropped: tuple[str, ...]
    parameters: int
    bytes: int
    calls: int | None
    multiply_adds: int | None
    elementwise: int | None

    @property
    def time(self) -> float | None:
        """The measured seconds of one call in its form; None where nothing was measured."""
        return dict(self.seconds).get(self.form or "")


@dataclass(frozen=True)
class Memory:
    """Bytes of one forward pass.

    - weights: what is trained and stored.
    - folded: what inference keeps instead, every kernel in its form.
    - input, output: the packed images.
    - activations: an estimate of all intermediate arrays and the output at the worst moment. It takes every operation
        as written; a compiler that fuses operations needs less, one that copies for fast convolutions more.
    """

    weights: int
    folded: int
    input: int
    output: int
    activations: int


@dataclass(frozen=True)
class Plan:
    """What a network costs on one grid, and what stands in its way. `str` gives a table, `to_dict` gives JSON.

    - in_type, grid, boundary, batch, dtype: the image that it shall take.
    - model: the kind of network; None when it cannot be built.
    - out_type, out_grid: what it gives.
    - translation_step: the network commutes with translations by multiples of this many pixels, if it says so.
    - parameters: all trained numbers.
    - multiply_adds: those of convolutions and matrix products in one forward pass in its folded form, over the whole
        batch. One multiply-add is two floating-point operations. Taps that meet padding inside a convolution cost none.
    - elementwise: all other numbers computed in that pass, such as sums of images and activations.
    - layers: all of them, in the order in which they first run.
    - problem: why the network cannot be built, or does not take this grid, and what would work; None without one. What
        could then not be found out is None.
    - problem_at: the place of the layer that refuses the grid, if a layer does.
    - grids_that_work: grids near this one that the network takes, found by trying, when it does not take this one.
    """

    in_type: str
    grid: Grid
    boundary: tuple[Boundary, ...]
    batch: int
    dtype: str
    model: str | None = None
    out_type: str | None = None
    out_grid: Grid | None = None
    translation_step: int | None = None
    parameters: int | None = None
    multiply_adds: int | None = None
    elementwise: int | None = None
    memory: Memory | None = None
    layers: tuple[LayerPlan, ...] = ()
    problem: str | None = None
    problem_at: str | None = None
    grids_that_work: tuple[Grid, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON."""
        return dataclasses.asdict(self)

    def describe(self) -> str:
        """The plan as a text to read: a table of all layers, what they need, what is missing, and what is wrong."""
        return "\n\n".join("\n".join(part) for part in _parts(self) if part)

    def __str__(self) -> str:
        return self.describe()


def _parts(plan: Plan) -> Iterator[Sequence[str]]:
    yield _title(plan)
    if plan.layers:
        yield _table([HEADER, *map(_row, plan.layers), *_totals(plan)])
    if plan.memory is not None:
        yield _needs(plan, plan.memory)
    yield _paths(plan.layers)
    if plan.problem is not None:
        place = f" in {plan.problem_at}" if plan.problem_at else ""
        grids = " or ".join(map(_sides, plan.grids_that_work))
        yield [f"Problem{place}: {plan.problem}", *([f"Grids nearby that work: {grids}."] if grids else [])]


def _title(plan: Plan) -> list[str]:
    types = f"{plan.in_type} -> {plan.out_type or '?'}"
    step = "" if plan.translation_step is None else f", translation step {plan.translation_step}"
    return [
        f"{plan.model or 'A network that cannot be built'}: {types}",
        f"grid {_sides(plan.grid)} ({', '.join(plan.boundary)}), batch {plan.batch}, {plan.dtype}{step}",
    ]


def _row(layer: LayerPlan) -> tuple[str, ...]:
    times = {None: "", 0: " (not run)", 1: ""}.get(layer.calls, f" ({layer.calls} times)")
    return (
        f"{layer.place or 'the network'}{times}",
        " ".join([layer.kind, *([_kernel(layer.stencil)] if layer.stencil else [])]),
        _sides(layer.grid or (), "x"),
        layer.out_type or "",
        (layer.form or "").removesuffix("Conv"),
        *_amounts(layer.multiply_adds, layer.bytes, layer.time),
        layer.reason or "",
    )


def _totals(plan: Plan) -> Iterator[tuple[str, ...]]:
    """What is spent outside of all layers, if anything is, and everything together."""
    if plan.multiply_adds is None or plan.memory is None:
        return
    multiply_adds = sum(layer.multiply_adds or 0 for layer in plan.layers)
    within = sum(layer.bytes for layer in plan.layers)
    if (multiply_adds, within) != (plan.multiply_adds, plan.memory.folded):
        rest = _amounts(plan.multiply_adds - multiply_adds, plan.memory.folded - within, None)
        yield ("between layers", "", "", "", "", *rest, "")
    times = [layer.time * (layer.calls or 0) for layer in plan.layers if layer.time is not None]
    yield ("total", "", "", "", "", *_amounts(plan.multiply_adds, plan.memory.folded, sum(times) or None), "")


def _amounts(multiply_adds: int | None, size: int, seconds: float | None) -> tuple[str, ...]:
    return (short(multiply_adds), f"{short(size)}B", "" if seconds is None else duration(seconds))


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns of equal width without those that say nothing, amounts to the right, rules below head and last layer."""
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for row in zip(*columns, strict=True):
        cells = zip(row, widths, columns, strict=True)
        padded = [cell.rjust(n) if column[0] in AMOUNTS else cell.ljust(n) for cell, n, column in cells]
        lines.append("  ".join(padded).rstrip())
    rule = "-" * max(map(len, lines))
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]


def _needs(plan: Plan, memory: Memory) -> list[str]:
    amounts = {field.name: getattr(memory, field.name) for field in dataclasses.fields(memory)}
    return [
        f"Memory: {', '.join(f'{name} {short(amount)}B' for name, amount in amounts.items())}.",
        f"Parameters: {short(plan.parameters).strip()}. Numbers computed element by element: "
        f"{short(plan.elementwise).strip()}.",
    ]


def _paths(layers: tuple[LayerPlan, ...]) -> list[str]:
    """The paths without a filter, each with the layers that lack it, and what is lost on the way."""
    lacking: dict[tuple[str, str], list[str]] = {}
    for layer in layers:
        for pair in layer.missing:
            lacking.setdefault(pair, []).append(layer.place or layer.kind)
    lines = [f"  {source} -> {target}: {_some(places)}" for (source, target), places in lacking.items()]
    lost = [
        f"Lost: {layer.place or layer.kind} takes {', '.join(layer.dropped)}, and no filter leads from there."
        for layer in layers
        if layer.dropped
    ]
    return [*(["The group allows no filter for these paths:"] if lines else []), *lines, *lost]


def _some(places: list[str]) -> str:
    rest = len(places) - SHOWN
    return ", ".join(places[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _kernel(stencil: Stencil) -> str:
    """Such as `3x3, dilation 2`; that a transposed one has stride 1/2 says that it doubles the grid."""
    settings = [_sides(stencil.sizes, "x")]
    for name, setting in (("stride", stencil.stride), ("dilation", stencil.dilation)):
        if max(setting) > 1:
            below = "1/" if name == "stride" and stencil.transposed else ""
            settings.append(f"{name} {below}{setting[0] if len(set(setting)) == 1 else _sides(setting, 'x')}")
    return ", ".join(settings)


def _sides(sides: Sequence[int], between: str = " x ") -> str:
    return between.join(map(str, sides))


def short(amount: int | None) -> str:
    """Three digits and a prefix: 1234567 is `1.23 M`."""
    if amount is None or amount < 1000:
        return "" if amount is None else f"{amount} "
    digits, exponent = f"{amount:.2e}".split("e")
    return f"{float(digits) * 10 ** (int(exponent) % 3):g} {PREFIXES[int(exponent) // 3]}"


def duration(seconds: float) -> str:
    """Milliseconds: 0.00041 is `0.41 ms`."""
    return f"{1000 * seconds:.2f} ms"
