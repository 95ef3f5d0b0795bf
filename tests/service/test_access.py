"""Keys: made once, stored as hashes, compared in constant time, and spent no faster than they may."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from equifield_service.__main__ import app
from equifield_service.access import KeyRing, TokenBucket, new_key, read_keys


def test_a_new_key_opens_the_ring_that_has_its_line_and_no_other(tmp_path: Path) -> None:
    (secret, key), (other, _) = new_key("desk", ["predict"], rate=5), new_key("desk", ["predict"])
    (tmp_path / "keys").write_text(f"\n{key.line}\n")
    ring = KeyRing.read(tmp_path / "keys")
    holder = ring.holder(secret.encode())
    assert holder is not None and holder.key == key
    assert ring.holder(other.encode()) is None
    assert ring.holder(key.sha256.encode()) is None


def test_a_key_is_long_random_and_not_in_its_line() -> None:
    secret, key = new_key("desk", ["admin", "predict"])
    assert len(secret) > 40 and secret not in key.line
    assert json.loads(key.line) == {
        "name": "desk",
        "sha256": hashlib.sha256(secret.encode()).hexdigest(),
        "scopes": ["admin", "predict"],
    }


@pytest.mark.parametrize("owner", [0, 2, None], ids=["first", "last", "nobody"])
def test_every_key_is_compared_whoever_asks(monkeypatch: pytest.MonkeyPatch, owner: int | None) -> None:
    made = [new_key(f"desk-{number}", ["predict"]) for number in range(3)]
    compared: list[bytes] = []
    real = hmac.compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return bool(real(one, other))

    monkeypatch.setattr(hmac, "compare_digest", counting)
    KeyRing(key for _, key in made).holder(b"nobody's" if owner is None else made[owner][0].encode())
    assert compared == [key.sha256.encode() for _, key in made]


GOOD = new_key("desk", ["predict"])[1].line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has none, so nobody could come in"),
        ("{", "Line 1 .* is no key"),
        (f"{GOOD}\n{GOOD}", "Line 2 .* has the name of an earlier key, 'desk'"),
        (GOOD.replace("predict", "everything"), "Line 1 .* 'predict' or 'admin'"),
        (GOOD.replace('["predict"]', "[]"), "Line 1 .* at least 1 item"),
        (GOOD.replace("desk", "front desk"), "Line 1 .* name"),
        (GOOD.replace('"sha256": "', '"sha256": "x'), "Line 1 .* sha256"),
        (GOOD.replace("}", ', "secret": "x"}'), "Line 1 .* secret"),
    ],
    ids=["empty", "json", "twice", "scope", "no-scope", "name", "hash", "unknown"],
)
def test_a_file_that_is_not_one_of_keys_is_refused_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "keys").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_keys(tmp_path / "keys")


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_keys(Path("/nowhere/keys"))


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("rate", [0.1, 3.0, 7.0, 1000.0])
def test_a_budget_lets_through_its_size_at_once_and_its_rate_in_the_long_run(rate: float) -> None:
    clock = Clock()
    budget = TokenBucket(rate, 5, clock)
    assert [budget.take() for _ in range(5)] == [0.0] * 5
    for _ in range(100):
        wait = budget.take()
        assert 0 < wait <= 1 / rate * 1.001
        clock.now += wait * 0.9
        assert budget.take() > 0
        clock.now += wait * 0.1
        assert budget.take() == 0.0


def test_a_rested_budget_is_full_and_no_fuller() -> None:
    clock = Clock()
    budget = TokenBucket(1.0, 3, clock)
    clock.now += 1e6
    assert [budget.take() > 0 for _ in range(4)] == [False, False, False, True]


def test_the_command_prints_the_line_to_store_and_the_key_apart_from_it() -> None:
    arguments = ["new-key", "desk", "--scope", "admin", "--rate", "2"]
    made = CliRunner().invoke(app, arguments)
    key, secret = json.loads(made.stdout), made.stderr.splitlines()[-1]
    assert key == {
        "name": "desk",
        "sha256": hashlib.sha256(secret.encode()).hexdigest(),
        "scopes": ["admin"],
        "rate": 2.0,
    }
    refused = CliRunner().invoke(app, [*arguments, "--scope", "everything"])
    assert refused.exit_code == 2 and "'predict' or 'admin'" in refused.stderr and not refused.stdout
