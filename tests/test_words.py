"""The words: numbers, counts and lists as people read them, and records as programs do."""

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossbench.words import (
    counted,
    distinct,
    joined,
    nats,
    plain,
    plus_minus,
    probability,
    setting,
    significant,
    spread,
)


@given(st.floats(allow_nan=False, allow_infinity=False).map(lambda x: float(f"{x:.12g}")))
def test_a_setting_is_written_so_that_it_can_be_typed_again(value: float) -> None:
    """Nothing of a number that a user could have written is lost."""
    assert float(setting(value)) == value


def test_settings_of_every_kind_are_written_as_options_take_them() -> None:
    """Words, switches, layers; a number without a tail; what is not known is called so."""
    written = [setting(x) for x in ("blog", False, (), (64, 32), 7, np.int64(7), 0.1 + 0.2, 1e-7)]
    assert written == ["blog", "false", "linear", "64x32", "7", "7", "0.3", "1e-07"]
    assert [setting(x) for x in (None, math.nan)] == ["unknown", "unknown"]


def test_numbers_are_worded_by_their_size() -> None:
    """At the edges: two decimals from 0.1 on, p to two digits from 0.0001 on, 1 is no plural."""
    assert [nats(x) for x in (0, 0.0)] == ["0", "0"]
    assert [nats(x) for x in (0.1, -0.1, 0.0999, 12.345)] == ["0.10", "-0.10", "0.1", "12.35"]
    assert [probability(p) for p in (0.0001, 0.00009, 0.05)] == ["0.0001", "<0.0001", "0.05"]
    assert [counted(n, "seed") for n in (0, 1, 2)] == ["0 seeds", "1 seed", "2 seeds"]
    assert significant(math.nan) == "unknown"
    assert significant(-(Fraction(10) ** 400)) == "-1e400"
    assert plus_minus(1.0, 0.25, 3) == "1.000 ± 0.250"


def test_settings_are_listed_in_order_and_eight_at_most() -> None:
    """Numbers before text, what is not known is called so, and the rest is counted."""
    assert distinct(["b", "a", 2, 10.0, 2]) == "2, 10, a, b"
    assert distinct([None, 3.0]) == "3, unknown"
    assert distinct(list(range(8))) == "0, 1, 2, 3, 4, 5, 6, 7"
    assert distinct(list(range(9))) == "0, 1, 2, 3, 4, 5, 6, 7 and 1 more"


def test_lists_and_ranges_of_one_are_that_one() -> None:
    """No comma, no "and", no "to" where there is nothing to join."""
    assert (joined([Path("a")]), spread(["1"]), spread(["1", "1"])) == ("a", "1", "1")


@dataclass(frozen=True)
class _Point:
    x: float
    where: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Named:
    point: _Point

    def facts(self) -> dict[str, object]:
        """Return other names than the fields."""
        return {"at": self.point, "half": Fraction(1, 2)}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (_Point(math.nan, (Path("a/b"),)), {"x": None, "where": ["a/b"]}),
        (_Named(_Point(1.5)), {"at": {"x": 1.5, "where": []}, "half": 0.5}),
        ({1: np.float64("inf"), "n": np.int64(3), "on": np.True_}, {"1": None, "n": 3, "on": True}),
        ([None, True, "a", 0], [None, True, "a", 0]),
    ],
)
def test_records_are_told_to_programs_as_plain_values(value: object, told: object) -> None:
    """By their fields or by the facts that they name; what is not known is null."""
    assert plain(value) == told
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == told
