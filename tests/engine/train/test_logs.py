"""The logs of a training: all hold the same of every epoch, once, however often the training was interrupted."""

import itertools
import json
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record

from equifield import commands
from equifield.train import Epoch, _checkpoints
from equifield.train.runs import LogRefused, Recipe, train
from equifield.train.runs._logs import logs_named
from tests.engine.train.tiny import recipe

BOTH = ["tensorboard", "wandb"]
THREE_EPOCHS = recipe(training={"epochs": 3, "batch_size": 5, "learning_rate": 1e-2})


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    """W&B as it runs without a network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        patch.setenv("WANDB_SILENT", "true")
        yield
        wandb.teardown()


def another_second() -> None:
    """Waits for it: W&B names the folder of an offline run by its second and its id."""
    time.sleep(1.01 - time.time() % 1)


class Interrupting:
    """Ends a training after an epoch, as Ctrl-C does."""

    def start(self, steps: int) -> None: ...

    def step(self, number: int, loss: float) -> None: ...

    def epoch(self, number: int, losses: Epoch) -> None:
        if number == 1:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was interrupted after two epochs, of which its last checkpoint has one, and went on."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        a_minute_each = SimpleNamespace(monotonic=itertools.count(step=60).__next__)
        patch.setattr(_checkpoints, "time", a_minute_each)  # so that checkpoints are due at once
        train(THREE_EPOCHS, folder, Interrupting(), logs=BOTH)
    assert list(lines(folder)) == [0, 1]
    another_second()
    train(THREE_EPOCHS, folder, logs=BOTH)
    return folder


def lines(folder: Path) -> dict[int, dict[str, float]]:
    """What `log.jsonl` says of each epoch."""
    read = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return {line.pop("epoch"): line for line in read}


def scalars(folder: Path, purge: bool = True) -> list[tuple[str, int, float]]:
    """What TensorBoard shows: the name of a value, its step, and the value."""
    shown = EventAccumulator(str(folder / "tensorboard"), purge_orphaned_data=purge).Reload()
    return [(tag, event.step, event.value) for tag in shown.Tags()["scalars"] for event in shown.Scalars(tag)]


def sent(folder: Path, ended: bool = True) -> dict[str, list[Any]]:
    """The records that W&B keeps for its server, of all the runs in a folder in their order."""
    deadline = time.monotonic() + 10  # W&B writes the end of a run a moment after it says so
    while True:
        files = [path.read_bytes() for path in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]
        read = [[Record.FromString(record) for record in records(content)] for content in files]
        if not ended or all(any(record.HasField("exit") for record in file) for file in read):
            kinds = ("run", "history")
            return {k: [getattr(record, k) for file in read for record in file if record.HasField(k)] for k in kinds}
        assert time.monotonic() < deadline
        time.sleep(0.02)


def values_of(items: Iterable[Any]) -> dict[str, Any]:
    """W&B's list of names and values in JSON."""
    return {item.key or item.nested_key[0]: json.loads(item.value_json) for item in items}


def records(content: bytes) -> Iterator[bytes]:
    """The records of a log in LevelDB's format: pieces in blocks of 32 KiB, each behind checksum, length and kind."""
    place, record = 7, b""
    while place < len(content):
        if (left := -place % 32768) and left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def test_every_log_holds_every_epoch_once(run: Path) -> None:
    log = lines(run)
    assert list(log) == [0, 1, 2] and all(line.keys() == {"training", "validation", "seconds"} for line in log.values())
    shown = {(name, step): value for name, step, value in scalars(run)}
    expected = {(name, epoch): value for epoch, line in log.items() for name, value in line.items()}
    assert shown == pytest.approx(expected, rel=1e-6) and len(scalars(run)) == 9
    history = [(entry.step.num, values_of(entry.item)) for entry in sent(run)["history"]]
    assert [step for step, _ in history] == [0, 1, 2]
    assert all(values[name] == log[step][name] for step, values in history for name in ("training", "validation"))


def test_an_epoch_that_is_trained_again_would_be_there_twice(run: Path) -> None:
    repeated = [step for name, step, _ in scalars(run, purge=False) if name == "training"]
    assert repeated == [0, 1, 1, 2]


def test_the_logs_hold_the_recipe(run: Path) -> None:
    followed = json.loads((run / "recipe.json").read_text())
    shown = EventAccumulator(str(run / "tensorboard")).Reload().Tensors("recipe/text_summary")
    text = shown[-1].tensor_proto.string_val[0].decode()
    assert json.loads(text.removeprefix("```json").removesuffix("```")) == followed
    assert all(values_of(began.config.update).items() >= followed.items() for began in sent(run)["run"])


def test_a_training_that_has_ended_writes_no_epoch_again(run: Path) -> None:
    before = lines(run), scalars(run), len(sent(run)["history"])
    another_second()
    train(THREE_EPOCHS, run, logs=BOTH)
    assert (lines(run), scalars(run), len(sent(run)["history"])) == before


def follow(folder: Path, recipe: Recipe, *epochs: int) -> None:
    """Logs epochs whose loss is the seed of the recipe."""
    another_second()
    with ExitStack() as stack:
        for write in [stack.enter_context(log(folder, recipe, epochs[0])) for log in logs_named(BOTH)]:
            for epoch in epochs:
                write(epoch, {"training": float(recipe.training.seed)})


def test_the_same_recipe_is_the_same_run_and_another_one_is_another(tmp_path: Path) -> None:
    def seen() -> list[tuple[str, int, float]]:
        return [("training", epoch, line["training"]) for epoch, line in lines(tmp_path).items()]

    follow(tmp_path, THREE_EPOCHS, 0, 1)
    follow(tmp_path, THREE_EPOCHS, 0, 1, 2)  # it was interrupted before its first checkpoint
    assert scalars(tmp_path) == seen() and len(seen()) == 3
    assert [entry.step.num for entry in sent(tmp_path)["history"]] == [0, 1, 2]
    follow(tmp_path, recipe(training={"epochs": 1, "batch_size": 5, "learning_rate": 1e-2, "seed": 1}), 0)
    assert scalars(tmp_path) == seen() == [("training", 0, 1.0)]
    first, second, other = (began.run_id for began in sent(tmp_path)["run"])
    assert first == second != other


def test_an_epoch_is_on_the_disk_while_the_training_goes_on(tmp_path: Path) -> None:
    deadline = time.monotonic() + 10  # W&B itself would wait for longer
    with ExitStack() as stack:
        for log in logs_named(BOTH):
            stack.enter_context(log(tmp_path, THREE_EPOCHS, 0))(0, {"training": 1.0})
        assert lines(tmp_path) == {0: {"training": 1.0}} and scalars(tmp_path) == [("training", 0, 1.0)]
        while not sent(tmp_path, ended=False)["history"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize(("log", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")], ids=BOTH)
def test_without_its_extra_a_log_is_refused_before_anything_runs(
    log: str, package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"equifield.train.runs._{log}", raising=False)
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "recipe.json").write_text(recipe().model_dump_json())
    with pytest.raises(typer.Exit) as stopped:
        commands.train(tmp_path / "recipe.json", tmp_path / "run", log=[log])
    assert stopped.value.exit_code == 7 and not (tmp_path / "run").exists()
    assert f"pip install 'equifield[{log}]'" in " ".join(capsys.readouterr().err.split())


def test_a_log_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no log 'paper': the logs are tensorboard and wandb"):
        train(recipe(), tmp_path / "run", logs=["tensorboard", "paper"])
    assert not (tmp_path / "run").exists()


def test_without_an_account_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wandb.teardown()  # it reads its variables once
    with pytest.raises(LogRefused, match="No API key configured.*WANDB_MODE=offline"):
        train(THREE_EPOCHS, tmp_path, logs=["wandb"])
    wandb.teardown()
    assert not (tmp_path / "wandb.json").exists()
