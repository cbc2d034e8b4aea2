"""Which run of A stands beside which run of B.

A setting (or the seed) that has one value in A and one in B is *common* if they agree and
*compared* if they do not. Every other one varies within a selection, and pairs are made of
runs that agree in all of these. So ``loss=blog`` and ``loss=docs`` over a grid in beta and k
pair by beta, k and seed; two single runs always pair, whatever differs between them.

Over a grid in ``beta_eff`` every convention has betas of its own. So where beta varies, the runs
pair by ``beta_eff`` instead if that pairs more of them.
"""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from lossbench.columns import SETTING_COLUMNS
from lossbench.errors import ResultsError, UsageError
from lossbench.words import distinct

Value = str | int | float | bool | None
Row = Mapping[str, Value]

_Key = tuple[Value, ...]


@dataclass(frozen=True)
class Pairing:
    """The pairs, and what was left out.

    ``compared`` holds the value in A and in B; ``keys`` are the columns that pairs agree in.
    Failed runs (their status is not ``ok``) never pair; ``unpaired_*`` are the ``ok`` runs
    without a partner.
    """

    common: dict[str, Value]
    compared: dict[str, tuple[Value, Value]]
    keys: tuple[str, ...]
    pairs: tuple[tuple[Row, Row], ...]
    unpaired_a: tuple[Row, ...]
    unpaired_b: tuple[Row, ...]
    failed_a: tuple[Row, ...]
    failed_b: tuple[Row, ...]


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of ``runs.csv`` as plain values, ``None`` where a cell is empty."""
    names = [str(name) for name in frame.columns]
    columns = (_plain(frame[name]) for name in names)
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _plain(column: pd.Series) -> list[Value]:
    """Return a column's cells as Python's own values."""
    values = column.tolist()
    if not column.hasnans:
        return values
    return [
        None if missing else value for value, missing in zip(values, column.isna(), strict=True)
    ]


def paired_runs(a: Sequence[Row], b: Sequence[Row]) -> Pairing:
    """Return the pairs of A and B; ``UsageError`` says which column to fix if there are none."""
    common: dict[str, Value] = {}
    compared: dict[str, tuple[Value, Value]] = {}
    keys: list[str] = []
    for name in (*SETTING_COLUMNS, "seed"):
        in_a, in_b = _values(a, name), _values(b, name)
        if len(in_a) > 1 or len(in_b) > 1:
            keys.append(name)
        elif in_a == in_b:
            common[name] = a[0][name]
        else:
            compared[name] = (a[0][name], b[0][name])
    ok_a, ok_b = ([row for row in side if row["status"] == "ok"] for side in (a, b))
    if "beta" in keys:
        by_beta_eff = ["beta_eff" if name == "beta" else name for name in keys]
        n_pairs = _n_pairs(ok_a, ok_b, keys)
        most = min(len(ok_a), len(ok_b))
        if n_pairs < most and _n_pairs(ok_a, ok_b, by_beta_eff) > n_pairs:
            keys = by_beta_eff
    rows_a, rows_b = _by_key(ok_a, keys, "A"), _by_key(ok_b, keys, "B")
    pairs = tuple((row, rows_b[key]) for key, row in rows_a.items() if key in rows_b)
    if not pairs:
        raise _no_pairs(a, b, keys)
    return Pairing(
        common,
        compared,
        tuple(keys),
        pairs,
        unpaired_a=tuple(row for key, row in rows_a.items() if key not in rows_b),
        unpaired_b=tuple(row for key, row in rows_b.items() if key not in rows_a),
        failed_a=tuple(row for row in a if row["status"] != "ok"),
        failed_b=tuple(row for row in b if row["status"] != "ok"),
    )


@functools.lru_cache(maxsize=2**16)
def _same(value: Value) -> Value:
    """Return a value to nine digits: a beta_eff is computed, and its last digits are rounding."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _values(rows: Sequence[Row], name: str) -> set[Value]:
    return {_same(value) for value in {row[name] for row in rows}}


def _key(row: Row, keys: Sequence[str]) -> _Key:
    return tuple(_same(row[name]) for name in keys)


def _n_pairs(a: Sequence[Row], b: Sequence[Row], keys: Sequence[str]) -> int:
    """Return how many pairs these columns make, without runs that could pair in several ways."""
    in_a, in_b = (Counter(_key(row, keys) for row in side) for side in (a, b))
    return sum(count == in_b[key] == 1 for key, count in in_a.items())


def _by_key(rows: Sequence[Row], keys: Sequence[str], side: str) -> dict[_Key, Row]:
    row_of: dict[_Key, Row] = {}
    for row in rows:
        twin = row_of.setdefault(_key(row, keys), row)
        if twin is not row:
            raise UsageError(
                f"two runs of {side} have the same settings and the same seed",
                expected="one run of each side in a pair",
                received=", ".join(
                    f"{run.get('folder', '')}:{run['run_id']}" for run in (twin, row)
                ),
                remedy="name the results folder before a colon, as in results/digits:loss=blog",
            )
    return row_of


def _no_pairs(a: Sequence[Row], b: Sequence[Row], keys: Sequence[str]) -> UsageError:
    """Return the error that tells why nothing pairs: failures, or a column to fix."""
    for side, rows in (("A", a), ("B", b)):
        if all(row["status"] != "ok" for row in rows):
            return ResultsError(
                f"every run of {side} failed",
                received=", ".join(f"{row['run_id']} {row['status']}" for row in rows[:8]),
                remedy="`lossbench sweep` redoes crashed runs, --retry-failed diverged ones too",
            )
    apart = [name for name in keys if not _values(a, name) & _values(b, name)]
    values = [
        f"{name} is {distinct([row[name] for row in a])} in A and "
        f"{distinct([row[name] for row in b])} in B"
        for name in apart or keys
    ]
    to_fix = (apart or list(keys))[0]
    one = distinct([a[0][to_fix]])
    return UsageError(
        "no run of A has a partner in B",
        expected=f"runs that agree in {', '.join(keys)}",
        received="; ".join(values),
        remedy=f"give `{to_fix}` one value in each selection, as in {to_fix}={one}",
    )
