"""Tables as plain CSV: typed columns in, the same bytes out each time."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lossbench.columns import Column, fill
from lossbench.errors import ResultsError


def cell(value: object) -> str:
    """Return the text of one cell; what is not known is empty, never 0."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def csv_text(rows: Iterable[Iterable[str]]) -> str:
    """Return rows of cells as CSV with Unix line ends."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as CSV with one header row."""
    rows = ([_typed_cell(value) for value in row] for row in table.itertuples(index=False))
    return (csv_text([map(str, table.columns)]) + csv_text(rows)).encode()


def _typed_cell(value: Any) -> str:
    return "" if pd.isna(value) else cell(value.item() if isinstance(value, np.generic) else value)


def read(path: Path, columns: Sequence[Column]) -> pd.DataFrame:
    """Return a table's ``columns``, typed; an empty cell is missing. No file is an empty table.

    ``ResultsError`` names the line that is not a row of these columns, such as a conflict that
    was left by a merge.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raw = b""
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None
    return parsed(raw, columns, path)


def parsed(raw: bytes, columns: Sequence[Column], path: Path) -> pd.DataFrame:
    """Return the table in ``raw``, which was read from ``path``, as ``read`` does."""
    numbers = {column.name: "float64" for column in columns if column.kind in ("int", "float")}
    names = {column.name: "str" for column in columns} | numbers
    try:
        header = raw.partition(b"\n")[0].decode().rstrip("\r").split(",")
        if not _is_even(raw, len(header)):
            _check_lines(raw, columns, path)
        table = pd.read_csv(
            io.BytesIO(raw or b"\n"),
            header=0,
            names=header,
            usecols=[name for name in names if name in header],
            dtype=names,
            keep_default_na=False,
            na_values={name: [""] for name in numbers},
        )
        fill(table)
        return pd.DataFrame({column.name: _typed(table, column) for column in columns})
    except (ValueError, TypeError, pd.errors.ParserError) as error:
        _check_lines(raw, columns, path)
        raise _damaged(path, str(error)) from None


def _is_even(raw: bytes, n_columns: int) -> bool:
    """Tell whether the number of commas is that of whole rows; quoted ones are not told apart."""
    return b'"' not in raw and raw.count(b",") == raw.count(b"\n") * (n_columns - 1)


def _typed(table: pd.DataFrame, column: Column) -> pd.Series:
    empty = pd.Series("", index=table.index, dtype="str")
    cells = table.get(column.name, empty)
    match column.kind:
        case "text":
            return cells
        case "bool":
            if not cells.isin(("true", "false", "")).all():
                raise ValueError(f"{column.name} holds something else than true and false")
            return cells.map({"true": True, "false": False}).astype("boolean")
        case "int":
            return pd.to_numeric(cells).astype("float64").astype("Int64")
    return pd.to_numeric(cells).astype("float64")


def _check_lines(raw: bytes, columns: Sequence[Column], path: Path) -> None:
    """Raise ``ResultsError`` with the first line that is not a row of these columns."""
    try:
        reader = csv.DictReader(io.StringIO(raw.decode(), newline=""), strict=True)
        for row in reader:
            where = f"line {reader.line_num}"
            if None in row or None in row.values():
                raise _damaged(path, f"{where} has more or fewer cells than the header")
            for column in columns:
                text = row.get(column.name, "")
                if not _is_of_kind(text, column):
                    raise _damaged(path, f"{where}: {text!r} is no {column.kind} ({column.name})")
    except (ValueError, csv.Error) as error:
        raise _damaged(path, str(error)) from None


def _is_of_kind(text: str, column: Column) -> bool:
    if column.kind == "text" or not text:
        return True
    if column.kind == "bool":
        return text in ("true", "false")
    try:
        number = float(text)
    except ValueError:
        return False
    return column.kind == "float" or number.is_integer()


def _damaged(path: Path, what: str) -> ResultsError:
    return ResultsError(
        "the table is damaged",
        where=str(path),
        received=what,
        remedy="restore it from version control, or delete it: `lossbench sweep` derives it anew",
    )
