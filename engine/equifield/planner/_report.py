"""Plan: what is known of a network before any weight exists, as numbers and as a table."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..boundary import Boundary
from ..nn._stencil import Stencil

Grid = tuple[int, ...]
HEADER = ("layer", "kind", "grid", "fields", "kernel", "parameters", "multiply-adds", "share", "elementwise")
AMOUNTS = HEADER.index("parameters")
PREFIXES = " kMGTPEZY"
SHOWN = 3
"""How many of the layers that lack one path are named in the text."""


@dataclass(frozen=True)
class LayerPlan:
    """One layer: where it stands in the network, what it maps, what it costs, and which paths it lacks.

    - place, kind: such as `encoders[0].conv` and `Conv`.
    - in_type, out_type, grid, out_grid: what it takes and gives when it is first called.
    - calls: how often one forward pass runs it.
    - stencil: the sizes, stride and dilation of its kernel; None for a layer without filters.
    - forms: of a layer that folds, the name of each form and what it is estimated to cost per output pixel, in
        multiply-adds; the first is the one that is taken.
    - filters: how many filters lead from each representation taken to each one given, 0 where the group allows none.
    - missing: the pairs (source, target) without a filter.
    - dropped: the representations taken from which no filter leads anywhere: what they hold is lost here.
    - parameters: trained numbers.
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
    forms: tuple[tuple[str, int], ...]
    filters: tuple[tuple[str, str, int], ...]
    missing: tuple[tuple[str, str], ...]
    dropped: tuple[str, ...]
    parameters: int
    calls: int | None
    multiply_adds: int | None
    elementwise: int | None


@dataclass(frozen=True)
class Memory:
    """Bytes of one forward pass.

    - weights: what is trained and stored.
    - folded: what inference keeps instead, with every kernel expanded.
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
        """The plan as a text to read: a table of all layers, the memory, what is missing, and what is wrong."""
        return "\n\n".join("\n".join(part) for part in _parts(self) if part)

    def __str__(self) -> str:
        return self.describe()


def _parts(plan: Plan) -> Iterator[Sequence[str]]:
    yield _title(plan)
    if plan.layers:
        yield _table([HEADER, *(_row(layer, plan) for layer in plan.layers), *_totals(plan)])
    if plan.memory is not None:
        yield _memory(plan.memory)
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


def _row(layer: LayerPlan, plan: Plan) -> tuple[str, ...]:
    times = {None: "", 0: " (not run)", 1: ""}.get(layer.calls, f" ({layer.calls} times)")
    fields = layer.in_type if layer.in_type == layer.out_type else f"{layer.in_type} -> {layer.out_type}"
    return (
        f"{layer.place or 'the network'}{times}",
        layer.kind,
        _sides(layer.grid or ()),
        fields or "",
        ", ".join([_kernel(layer.stencil), *(name for name, _ in layer.forms[:1])]) if layer.stencil else "",
        *_amounts(plan, layer.parameters, layer.multiply_adds, layer.elementwise),
    )


def _totals(plan: Plan) -> Iterator[tuple[str, ...]]:
    """What is spent outside of all layers, if anything is, and everything together."""
    total = (plan.parameters, plan.multiply_adds, plan.elementwise)
    by_layer = [(layer.parameters, layer.multiply_adds, layer.elementwise) for layer in plan.layers]
    within = [sum(amount or 0 for amount in column) for column in zip(*by_layer, strict=True)]
    rest = [None if amount is None else amount - part for amount, part in zip(total, within, strict=True)]
    if any(rest):
        yield ("between layers", "", "", "", "", *_amounts(plan, *rest))
    yield ("total", "", "", "", "", *_amounts(plan, *total))


def _amounts(plan: Plan, parameters: int | None, multiply_adds: int | None, elementwise: int | None) -> tuple[str, ...]:
    share = f"{multiply_adds / plan.multiply_adds:.1%}" if multiply_adds and plan.multiply_adds else ""
    return (_short(parameters), _short(multiply_adds), share, _short(elementwise))


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns of equal width, amounts to the right, and a rule below the head and above the total."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        padded = [cell.ljust(width) if i < AMOUNTS else cell.rjust(width) for i, (cell, width) in enumerate(cells)]
        lines.append("  ".join(padded).rstrip())
    rule = "-" * max(map(len, lines))
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]


def _memory(memory: Memory) -> list[str]:
    amounts = {field.name: getattr(memory, field.name) for field in dataclasses.fields(memory)}
    return ["Memory: " + ", ".join(f"{name} {_short(amount)}B" for name, amount in amounts.items()) + "."]


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
    settings = [_sides(stencil.sizes)]
    for name, setting in (("stride", stencil.stride), ("dilation", stencil.dilation)):
        if max(setting) > 1:
            settings.append(f"{name} {setting[0] if len(set(setting)) == 1 else _sides(setting)}")
    return ", ".join([*settings, *(["transposed"] if stencil.transposed else [])])


def _sides(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))


def _short(amount: int | None) -> str:
    """Three digits and a prefix: 1234567 is `1.23 M`."""
    if amount is None or amount < 1000:
        return "" if amount is None else f"{amount} "
    digits, exponent = f"{amount:.2e}".split("e")
    return f"{float(digits) * 10 ** (int(exponent) % 3):g} {PREFIXES[int(exponent) // 3]}"
