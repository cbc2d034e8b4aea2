"""``.csv`` and ``.tsv`` files in, one array of numbers out; what is no number is told by its place.

A path may end in ``:age+height``, the columns to take, or in ``:-name+id``, those to leave out.
"""

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lossbench.data.images import Raw
from lossbench.errors import DataError, did_you_mean
from lossbench.words import counted

if TYPE_CHECKING:
    import pandas as pd

_LIMIT = 2**30  # bytes of text; two bytes can become one number of eight
_HEAD = 2**16  # bytes that tell the separator, the decimal sign and whether there is a header
_ENDS = (".csv", ".tsv")
_CHOSEN = re.compile(r"(?P<path>.+?\.(?:csv|tsv)):(?P<without>-?)(?P<names>.+)", re.I | re.S)
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+\s*")
_DEFAULT_SEPARATORS = ",;\t"


def is_table(dataset: str) -> bool:
    """Return whether a dataset's name is that of a table, with or without chosen columns."""
    return _taken_apart(dataset)[0].lower().endswith(_ENDS)


def path_of(dataset: str) -> Path:
    """Return the absolute path of a table, without its chosen columns."""
    return Path(_taken_apart(dataset)[0]).absolute()


def _taken_apart(dataset: str) -> tuple[str, str, tuple[str, ...]]:
    """Return the path, "-" where columns are left out, and the names of columns."""
    chosen = _CHOSEN.fullmatch(dataset)
    if chosen is None:
        return dataset, "", ()
    return chosen["path"], chosen["without"], tuple(chosen["names"].split("+"))


def read(dataset: str) -> tuple[Raw, tuple[str, ...]]:
    """Return the numbers of a table, (n, columns), and the names of its columns.

    They are integers or bool where every column is.

    Commas, semicolons or tabs stand between the columns; beside semicolons and tabs a decimal comma
    is read as one. A first line that holds a name is the header. Raises DataError for text, missing
    values, and columns that are not there, by row and column.
    """
    path = path_of(dataset)
    table = _chosen(_table(path), dataset)
    if table.shape[1] == 0 or len(table) == 0:
        raise DataError(
            "the table is empty",
            where=str(path),
            expected="rows of numbers below the header",
            received=f"{counted(len(table), 'row')}, {counted(table.shape[1], 'column')}",
            remedy="save the table again, or choose other columns",
        )
    for column in table.columns:
        _refuse_row_numbers(table, column, dataset)
        if table[column].dtype.kind not in "buif":
            table = table.assign(**{column: _numbers(table[column], dataset)})
    kinds = {table[column].dtype.kind for column in table.columns}
    values = table.to_numpy(dtype=None if kinds in ({"b"}, {"i"}, {"u"}) else np.float64)
    _refuse_unfit(values, table, dataset)
    return values, tuple(map(str, table.columns))


def _chosen(table: "pd.DataFrame", dataset: str) -> "pd.DataFrame":
    """Return the columns that were asked for, all but those left out, or all."""
    _, without, chosen = _taken_apart(dataset)
    if not chosen:
        return table
    _refuse_unknown(table, chosen, path_of(dataset))
    return table.drop(columns=list(chosen)) if without else table[list(chosen)]


def _table(path: Path) -> "pd.DataFrame":
    """Return what pandas reads; every column has a name of its own."""
    import pandas as pd  # noqa: PLC0415 - only tables need it

    if path.stat().st_size > _LIMIT:
        raise DataError(
            "the table is too large to be read",
            where=str(path),
            expected=f"at most {_LIMIT:,} bytes",
            received=f"{path.stat().st_size:,} bytes",
            remedy="save it as an .npy file",
        )
    head = _head(path)
    separator = _separator(head, path)
    lines = [line for line in head.split("\n") if line.strip()]
    first = [field.strip().strip('"') for field in lines[0].split(separator)]
    decimal = "."
    if separator != "," and any(
        _DECIMAL_COMMA.fullmatch(field.strip('"'))
        for line in lines
        for field in line.split(separator)
    ):
        decimal = ","
    headless = all(_is_number(field.replace(decimal, ".")) for field in first)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = pd.read_csv(
                path,
                sep=separator,
                decimal=decimal,
                header=None if headless else 0,
                encoding="utf-8-sig",
                compression=None,
                skipinitialspace=True,
                low_memory=False,
            )
    # What pandas raises on text that it cannot make a table of.
    except (OSError, ValueError, OverflowError, MemoryError, RuntimeError) as problem:
        raise _damaged(path, str(problem).strip() or type(problem).__name__) from problem
    if not isinstance(table.index, pd.RangeIndex):
        raise _damaged(path, "rows with more fields than the header has names")
    table.columns = pd.Index(
        [
            f"column {place}" if headless or str(name).startswith("Unnamed: ") else str(name)
            for place, name in enumerate(table.columns, start=1)
        ]
    )
    if not table.columns.is_unique:
        raise _damaged(path, "two columns of one name")
    return table


def _head(path: Path) -> str:
    """Return the first lines as text; raises DataError where they are none."""
    try:
        with path.open("rb") as file:
            start = file.read(_HEAD)
    except OSError as problem:
        raise _damaged(path, str(problem)) from problem
    if b"\0" in start:
        raise _damaged(path, "bytes that are no text in UTF-8")
    head = start.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    if len(start) == _HEAD and "\n" in head:
        head = head[: head.rindex("\n")]  # the last line may have been cut
    if not head.strip():
        raise _damaged(path, "an empty file")
    return head


def _separator(head: str, path: Path) -> str:
    """Return what stands between the columns: what the first line holds most of, outside quotes."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    first = next(line for line in head.split("\n") if line.strip())
    bare = re.sub(r'"[^"]*"', "", first)
    # A line of numbers with decimal commas has as many commas as semicolons, or one more.
    if ";" in bare:
        return ";"
    return max(_DEFAULT_SEPARATORS, key=bare.count)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _damaged(path: Path, received: str) -> DataError:
    return DataError(
        "the table cannot be read",
        where=str(path),
        expected="text in UTF-8: one line of names, then as many numbers in every line",
        received=received,
        remedy="save it again, as CSV in UTF-8 with commas, semicolons or tabs",
    )


def _refuse_unknown(table: "pd.DataFrame", names: tuple[str, ...], path: Path) -> None:
    there = tuple(map(str, table.columns))
    for name in names:
        if name not in there:
            few = ", ".join(there[:8]) + (f" and {len(there) - 8} more" if len(there) > 8 else "")
            raise DataError(
                f"the table has no column {name!r}",
                where=str(path),
                expected=few,
                received=name,
                remedy=did_you_mean(name, there)
                or "FILE.csv:a+b takes columns, FILE.csv:-a+b leaves them out",
            )
    if len(set(names)) < len(names):
        raise DataError(
            "a column is named twice",
            where=str(path),
            expected="every column once",
            received=", ".join(names),
            remedy="name it once",
        )


def _refuse_row_numbers(table: "pd.DataFrame", column: str, dataset: str) -> None:
    """Refuse what pandas and R write in front: a column without a name that counts the rows."""
    values = table[column]
    if column != "column 1" or len(table) < 3 or values.dtype.kind != "i":
        return
    if bool((values.diff().iloc[1:] == 1).all()) and values.iloc[0] in (0, 1):
        raise DataError(
            "the first column has no name and counts the rows",
            where=str(path_of(dataset)),
            expected="columns of data",
            received=f"{values.iloc[0]}, {values.iloc[1]}, {values.iloc[2]}, ...",
            remedy=f"leave it out: {_without(dataset, column)}; pandas' index=False writes none",
        )


def _numbers(values: "pd.Series", dataset: str) -> "pd.Series":
    """Return a column that pandas took for text as numbers, or name the first that is none."""
    import pandas as pd  # noqa: PLC0415

    numbers = pd.to_numeric(values.astype(str), errors="coerce").astype(np.float64)
    text = (numbers.isna() & values.notna()).to_numpy()
    if not text.any():
        return numbers
    row = int(text.argmax())
    received = str(values.iloc[row])
    comma = _DECIMAL_COMMA.fullmatch(received)
    raise DataError(
        "the table holds text where a number must stand",
        where=_place(dataset, row, str(values.name)),
        expected="a number" + (" with a decimal point" if comma else ""),
        received=repr(received if len(received) <= 40 else received[:40] + "..."),
        remedy="write decimal points, or semicolons between the columns"
        if comma
        else f"correct it, or leave the column out: {_without(dataset, str(values.name))}; "
        "pandas.get_dummies makes columns of 0 and 1 of a choice",
    )


def _without(dataset: str, column: str) -> str:
    """Return the table without a further column, in quotes, as a user writes it."""
    path, without, chosen = _taken_apart(dataset)
    kept = [name for name in chosen if name != column]
    names = f"-{'+'.join((*kept, column))}" if without or not kept else "+".join(kept)
    return f"'{path}:{names}'"


def _place(dataset: str, row: int, column: str) -> str:
    return f"{path_of(dataset)}, row {row + 1}, column {column!r}"


def _refuse_unfit(values: Raw, table: "pd.DataFrame", dataset: str) -> None:
    """Refuse the first value that is missing or infinite, by its place."""
    if values.dtype.kind == "b":
        return
    numbers = values.astype(np.float64, copy=False)
    problems = (
        ("a value is missing", np.isnan(numbers), "a number in every field"),
        ("a value is not finite", np.isinf(numbers), "finite numbers"),
    )
    for problem, bad, expected in problems:
        if not bad.any():
            continue
        row, column = (int(place) for place in np.unravel_index(int(bad.argmax()), bad.shape))
        name = str(table.columns[column])
        more = int(bad.sum()) - 1
        received = "an empty field" if np.isnan(numbers[row, column]) else numbers[row, column]
        raise DataError(
            problem,
            where=_place(dataset, row, name),
            expected=expected,
            received=f"{received}" + (f", and {more:,} more of these" if more else ""),
            remedy=f"correct it, or leave the column out: {_without(dataset, name)}",
        )
