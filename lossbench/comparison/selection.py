"""Which runs a person means: an id, a prefix, a path or a selection by columns."""

import functools
import math
from pathlib import Path

import numpy as np
import pandas as pd

from lossbench.columns import RUNS, Column
from lossbench.errors import ResultsError, UsageError, did_you_mean
from lossbench.store import Store
from lossbench.words import distinct

_RUNS_TABLE = "runs.csv"
_COLUMNS = {column.name: column for column in RUNS}
_MOST_CANDIDATES = 8


def select(text: str, results: Path = Path("results")) -> pd.DataFrame:
    """Return the rows of ``runs.csv`` that ``text`` names, with a column ``folder`` added.

    ``text`` is a run id or any unique prefix of one; a path to a run (``DIR/runs/ID.json``,
    ``DIR/ID``) or to a whole results folder; or a selection ``loss=blog,beta=1``, where a
    column may have several values (``beta=0.1,1``) and numbers are compared as numbers.
    ``DIR:`` before an id or a selection names the folder; without one, every folder in
    ``results`` is looked through. ``UsageError`` names what is there instead.
    """
    folders, name = _located(text.strip(), results)
    runs = _table(folders)
    if not name:
        return runs
    chosen = _filtered(runs, name) if "=" in name else _named(runs, name)
    return _one_of_each(chosen)


def _located(text: str, results: Path) -> tuple[list[Path], str]:
    """Return the folders to look through, and the id or selection to look for."""
    if not text:
        raise UsageError("a run or a selection has no name", received="an empty argument")
    path = Path(text)
    if path.suffix == ".json" and path.parent.name == "runs":
        return [path.parent.parent], path.stem
    if (path / _RUNS_TABLE).exists():
        return [path], ""
    head, colon, tail = text.partition(":")
    if colon and "=" not in head:
        inside = results / head
        known = not (Path(head) / _RUNS_TABLE).exists() and (inside / _RUNS_TABLE).exists()
        return [inside if known else Path(head)], tail
    if "=" not in text and path.name != text:
        return [path.parent.parent if path.parent.name == "runs" else path.parent], path.name
    folders = sorted(table.parent for table in results.glob(f"*/{_RUNS_TABLE}"))
    own = [results] if (results / _RUNS_TABLE).exists() or not folders else []
    return own + folders, text


def _runs(folder: Path) -> pd.DataFrame:
    """Return a folder's ``runs.csv``; the two sides of a comparison read it once."""
    path = folder / _RUNS_TABLE
    return _read(folder, path.stat().st_mtime_ns if path.exists() else 0)


@functools.lru_cache(maxsize=8)
def _read(folder: Path, _changed: int) -> pd.DataFrame:
    return Store(folder).runs().assign(folder=str(folder))


def _table(folders: list[Path]) -> pd.DataFrame:
    table = pd.concat(map(_runs, folders), ignore_index=True)
    if table.empty:
        raise ResultsError(
            "there are no runs here",
            where=", ".join(map(str, folders)),
            remedy="run `lossbench sweep` first",
        )
    return table


def _named(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the run of that id, or of the one id that starts so."""
    ids = runs["run_id"]
    named = runs[ids == name]
    if named.empty:
        named = runs[ids.str.startswith(name)]
    candidates = sorted(set(named["run_id"]))
    if not candidates:
        without_hash = sorted({str(run_id).rpartition("-")[0] for run_id in ids})
        raise UsageError(
            f"no run is called {name!r}",
            where=distinct(sorted(set(runs["folder"]))),
            expected="a run id, a unique prefix of one, or a selection such as loss=blog,beta=1",
            remedy=did_you_mean(name, without_hash) or "see the runs with `lossbench show`",
        )
    if len(candidates) > 1:
        shown = candidates[:_MOST_CANDIDATES]
        rest = len(candidates) - len(shown)
        raise UsageError(
            f"{len(candidates)} runs start with {name!r}",
            expected="a prefix of one run",
            received="\n    ".join(["", *shown, *([f"and {rest} more"] if rest else [])]),
            remedy="add letters until one is left, or select by columns, "
            "as in loss=blog,beta=1,d=64",
        )
    return named


def _filtered(runs: pd.DataFrame, selection: str) -> pd.DataFrame:
    """Return the runs that have one of the given values in every given column."""
    wanted: dict[str, list[str]] = {}
    name = ""
    for part in selection.split(","):
        left, equals, right = (piece.strip() for piece in part.partition("="))
        name = left if equals else name
        if name not in _COLUMNS:
            raise UsageError(
                f"no column is called {name or left!r}",
                where=repr(selection),
                expected="columns of runs.csv, as in loss=blog,beta=1",
                remedy=did_you_mean(name or left, _COLUMNS) or f"one of {', '.join(_COLUMNS)}",
            )
        wanted.setdefault(name, []).append(right if equals else left)
    left_over, so_far = runs, ""
    for name, texts in wanted.items():
        matches = [_matches(left_over[name], _COLUMNS[name], text, so_far) for text in texts]
        left_over = left_over[np.logical_or.reduce(matches)]
        so_far += f"{', ' if so_far else ' with '}{name}={','.join(texts)}"
    return left_over


def _matches(cells: pd.Series, column: Column, text: str, so_far: str) -> np.ndarray:
    """Return where ``cells`` hold the value that ``text`` spells; ``UsageError`` if nowhere."""
    match column.kind:
        case "text":
            mask = (cells == text).to_numpy(dtype=bool)
        case "bool":
            known = {"true": True, "false": False}
            mask = (cells == known.get(text.lower())).fillna(False).to_numpy(dtype=bool)
        case _:
            numbers = cells.to_numpy(dtype=np.float64, na_value=np.nan)
            mask = np.isclose(numbers, number_in(text), rtol=1e-9, atol=0)
    if not mask.any():
        there = cells.dropna().unique().tolist()
        values = distinct(there)
        raise UsageError(
            f"no run{so_far} has {column.name}={text}",
            expected=f"{column.name} is {values} there" if there else "",
            received=repr(text),
            remedy=did_you_mean(text, map(str, there)) if column.kind == "text" else "",
        )
    return mask


def number_in(text: str) -> float:
    """Return the number that a user wrote, NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _one_of_each(chosen: pd.DataFrame) -> pd.DataFrame:
    """Return every run once; ``UsageError`` if two folders disagree about one."""
    distinct_runs = chosen.drop_duplicates(subset=list(_COLUMNS))
    twice = distinct_runs[distinct_runs["run_id"].duplicated(keep=False)]
    if not twice.empty:
        run_id = twice["run_id"].iloc[0]
        places = sorted(set(twice.loc[twice["run_id"] == run_id, "folder"]))
        raise UsageError(
            f"the run {run_id} has different results in {len(places)} folders",
            received=distinct(places),
            remedy=f"name the folder before a colon, as in {places[0]}:{run_id}",
        )
    return distinct_runs.reset_index(drop=True)
