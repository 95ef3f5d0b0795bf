"""Comparisons, each a row of figures by name; None stands for what was not measured."""

import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.sides import Side, Times
from equifield.interop.ginjax import from_blocks

Row = dict[str, Any]
Peers = dict[str, Side]


def networks(cases: list[Case], ours: Side, peers: Peers) -> Iterator[Row]:
    """Every network of ginjax against the same one here, with the same weights, its plain twin and escnn's."""
    for case in cases:
        taking_part = {name: side for name, side in peers.items() if name in case["peers"]}
        facts, error = _built(case | {"peers": list(taking_part)}, ours, taking_part)
        others = [(side, "forward") for side in taking_part.values()]
        forward = Times(*others, (ours, "forward"), (ours, "twin"))
        config = case["config"]
        yield {
            "network": config["architecture"],
            **_sizes(case, config["hidden"]),
            "relative difference": error,
            "milliseconds": forward.milliseconds("equifield forward"),
            "ginjax / folded": forward.ratio("ginjax forward", "equifield forward"),
            "escnn / folded": forward.ratio("escnn forward", "equifield forward"),
            "folded / twin": forward.ratio("equifield forward", "equifield twin"),
            "work / ginjax": _share(facts, "temp_bytes"),
            "memory / ginjax": _share(facts, "peak_bytes"),
            **_steps(case, ours, taking_part),
        }


def layers(cases: list[Case], ours: Side, peers: Peers) -> Iterator[Row]:
    """Both forms of a convolution, and the one that is chosen, against an ordinary one and escnn's."""
    for case in cases:
        others = [side for name, side in peers.items() if name == "escnn"]
        for side in (ours, *others):
            side.ask(build=case, folder="")
        names = ("twin", "dense", "basis-first", "forward")
        times = Times(*((ours, name) for name in names), *((side, "forward") for side in others))
        yield {
            **_sizes(case, case["hidden"]),
            "twin, ms": times.milliseconds("equifield twin"),
            "dense / twin": times.ratio("equifield dense", "equifield twin"),
            "basis-first / twin": times.ratio("equifield basis-first", "equifield twin"),
            "folded / twin": times.ratio("equifield forward", "equifield twin"),
            "escnn / folded": times.ratio("escnn forward", "equifield forward"),
        }


def builds(cases: list[Case], ours: Side, peers: Peers) -> Iterator[Row]:
    """The seconds in which a new process builds a network: here with folding, in ginjax with its filters."""
    for case in cases:
        row: Row = {"network": case["config"]["architecture"], "hidden": case["config"]["hidden"]}
        for name, side in {"equifield": ours, "ginjax": peers.get("ginjax")}.items():
            made = {} if side is None else _made(case, side)
            row |= {f"{name}, s": made.get("seconds"), f"of these compiling ({name})": made.get("compiling")}
        yield row


def precisions(cases: list[Case], ours: Side) -> Iterator[Row]:
    """A folded layer in every precision, as a share of the speed of a plain matrix product."""
    for case in cases:
        facts = ours.ask(build=case, folder="")
        names = [f"{kind} {precision}" for precision in case["precisions"] for kind in ("layer", "product")]
        times = Times(*((ours, name) for name in names))
        operations = {"layer": facts[f"layer {case['precisions'][0]}"]["flops"], "product": 2 * case["side"] ** 3}
        for precision in case["precisions"]:
            taken = {kind: times.milliseconds(f"equifield {kind} {precision}") for kind in operations}
            speeds = {kind: operations[kind] / taken[kind] / 1e9 for kind in operations}
            yield {
                "precision": precision,
                **_sizes(case, case["hidden"]),
                "layer, ms": taken["layer"],
                "layer, TFLOP/s": speeds["layer"],
                f"product of {case['side']}, TFLOP/s": speeds["product"],
                "share": speeds["layer"] / speeds["product"],
            }


def _built(case: Case, ours: Side, peers: Peers) -> tuple[dict[str, Any], float | None]:
    """The facts of the programs of each side, and how far ours is from ginjax's: it leaves its weights for us."""
    with tempfile.TemporaryDirectory() as folder:
        facts = {side.name: side.ask(build=case, folder=folder) for side in (*peers.values(), ours)}
        if "ginjax" not in peers:
            return facts, None
        outputs = (side.ask(output="forward", folder=folder) for side in (peers["ginjax"], ours))
        return facts, _largest_difference(*outputs)


def _largest_difference(theirs: dict[str, Any], ours: dict[str, Any]) -> float:
    """||f - g|| / ||f|| of two outputs of scalars and vectors."""
    with np.load(theirs["path"]) as file:
        scalars, vectors = file["arr_0"], file["arr_1"]
    expected = np.asarray(from_blocks({(0, 0): scalars, (1, 0): vectors}, (True,) * vectors.shape[-1]).array)
    with np.load(ours["path"]) as file:
        return float(np.linalg.norm(file["arr_0"] - expected) / np.linalg.norm(expected))


def _steps(case: Case, ours: Side, peers: Peers) -> Row:
    names = ("ginjax step / step", "step / twin step")
    if not case["step"]:
        return dict.fromkeys(names)
    others = [(side, "step") for name, side in peers.items() if name == "ginjax"]
    times = Times(*others, (ours, "step"), (ours, "twin step"))
    pairs = (("ginjax step", "equifield step"), ("equifield step", "equifield twin step"))
    return {name: times.ratio(*pair) for name, pair in zip(names, pairs, strict=True)}


def _share(facts: dict[str, Any], name: str) -> float | None:
    return facts["equifield"]["forward"][name] / facts["ginjax"]["forward"][name] if "ginjax" in facts else None


def _sizes(case: Case, hidden: str) -> Row:
    return {"fields": hidden, "grid": "x".join(map(str, case["grid"])), "batch": case["batch"]}


def _made(case: Case, side: Side) -> dict[str, float]:
    with side.again() as new:
        new.ask(about="")
        return new.ask(make=case)
