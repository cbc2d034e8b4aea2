"""Put committed tables and figures back where every run agrees with them.

Another processor rewrites the last digits of every table that a sweep leaves. Where each run agrees
with the committed one, as ``agreement`` says, what is committed tells the same, and git shows no
change. Columns that came since stay, beside the committed cells. Only tables and figures that
lossbench wrote are touched, of a folder whose experiment.toml says what the committed one says;
where git or a commit is missing nothing happens. The records of the runs stay, so that a sweep that
finds no tables derives the new ones again.
"""

import argparse
import csv
import io
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from agreement import agrees
from lossbench.experiment import read
from lossbench.store import TABLES, Store, write_whole

_EXPERIMENT = "experiment.toml"
_RUNS = TABLES[0]
_FIGURES = "figures/"
_MOST_SHOWN = 3


def main() -> None:
    """Put back what is asked for, with one line for each folder in which something changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["tables", "figures"])
    parser.add_argument("folders", nargs="*", type=Path, help="results folders")
    asked = parser.parse_args()
    restored = restored_tables if asked.what == "tables" else restored_figures
    for folder in asked.folders:
        if line := restored(folder):
            print(f"{folder}: {line}")


def restored_tables(folder: Path) -> str:
    """Put the tables back if every run agrees; return what was done or why not, if anything."""
    committed = _committed(folder)
    if not committed.keys() >= {_EXPERIMENT, _RUNS}:
        return ""
    with Store(folder).locked(lambda holder: print(f"{folder}: in use by {holder}")):
        tables = [name for name in committed if name.endswith(".csv")]
        changed = [name for name in tables if _bytes(folder / name) != committed[name]]
        if not changed:
            return ""
        if reason := _difference(folder, committed, tables):
            return f"{reason}; the new tables stay"
        kept = {name: _cells(committed[name], _bytes(folder / name)) for name in changed}
        for name in changed:
            write_whole(folder / name, kept[name])
    if kept == {name: committed[name] for name in changed}:
        return "every run agrees with the committed tables, which are put back"
    return "every run agrees with the committed tables, whose cells are put beside the new columns"


def restored_figures(folder: Path) -> str:
    """Put the figures of the committed tables back; return what was done, if anything."""
    committed = _committed(folder)
    changed = [name for name, content in committed.items() if _bytes(folder / name) != content]
    if not all(name.startswith(_FIGURES) for name in changed):
        return ""
    drawn = [name for name in changed if _is_drawn(folder / name)]
    for name in drawn:
        write_whole(folder / name, committed[name])
    return f"{', '.join(drawn)} put back, as committed with these tables" if drawn else ""


def _committed(folder: Path) -> dict[str, bytes]:
    """Return tables, figures and experiment of a folder as they are in the last commit."""
    names = _git(folder, "ls-tree", "-r", "-z", "--name-only", "HEAD").decode().split("\0")
    ours = (
        name
        for name in names
        if name in (_EXPERIMENT, *TABLES, "thresholds.csv") or name.startswith(_FIGURES)
    )
    return {name: _git(folder, "show", f"HEAD:./{name}") for name in ours}


def _git(folder: Path, *arguments: str) -> bytes:
    """Return what git prints of a folder; nothing where there is no repository, or no git."""
    try:
        answer = subprocess.run(
            ["git", "-C", folder, *arguments],  # noqa: S607
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return b""
    return answer.stdout


def _difference(folder: Path, committed: dict[str, bytes], tables: list[str]) -> str:
    """Return in what the results are not the committed ones, but for the digits; empty if none."""
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / _EXPERIMENT).write_bytes(committed[_EXPERIMENT])
        if not (folder / _EXPERIMENT).is_file() or read(folder / _EXPERIMENT) != read(
            Path(scratch) / _EXPERIMENT
        ):
            return f"{_EXPERIMENT} is not the committed one"
        for name in tables:
            before, again = (list(_rows(each)) for each in (committed[name], _bytes(folder / name)))
            if not again or not set(before[0]) <= set(again[0]):
                return f"{name} has other columns than the committed one"
            if len(before) != len(again):
                return f"{name} has other rows than the committed one"
        (Path(scratch) / _RUNS).write_bytes(committed[_RUNS])
        before, again = (
            {run["run_id"]: run for run in Store(place).runs().to_dict(orient="records")}
            for place in (Path(scratch), folder)
        )
    different = [
        run_id
        for run_id in sorted(before.keys() | again.keys())
        if run_id not in before or run_id not in again or not agrees(before[run_id], again[run_id])
    ]
    if not different:
        return ""
    more = f" and {len(different) - _MOST_SHOWN} more" if len(different) > _MOST_SHOWN else ""
    return f"not as committed: {', '.join(different[:_MOST_SHOWN])}{more}"


def _rows(table: bytes) -> Iterator[list[str]]:
    """Yield the cells of a table, the names of its columns first."""
    return csv.reader(io.StringIO(table.decode("utf-8"), newline=""))


def _cells(committed: bytes, again: bytes) -> bytes:
    """Return the committed cells, and of the columns that they do not have the new ones."""
    (names, *before), (columns, *rows) = _rows(committed), _rows(again)
    if names == columns:
        return committed
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for old, new in zip(before, rows, strict=True):
        cells = dict(zip(columns, new, strict=True)) | dict(zip(names, old, strict=True))
        writer.writerow(cells[column] for column in columns)
    return text.getvalue().encode("utf-8")


def _bytes(path: Path) -> bytes:
    """Return what a file holds; nothing if it is not there."""
    return path.read_bytes() if path.is_file() else b""


def _is_drawn(path: Path) -> bool:
    """Tell whether a figure is one of the report's, which writes it as PNG and as SVG."""
    return all(path.with_suffix(suffix).exists() for suffix in (".png", ".svg"))


if __name__ == "__main__":
    main()
