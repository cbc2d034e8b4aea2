"""``results/speed.csv``: what follows from the medians, and the rows of a part replaced."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bench.size import BATCH_SIZE, SIZES, Size

COLUMNS = (
    "way",
    "variant",
    "d",
    "hidden",
    "k",
    "n_images",
    "batch_size",
    "n_models",
    "ms_per_model_epoch",
    "times_lossbench",
    "share_of_matmul_rate",
    "gflop_per_second",
)
LOSSBENCH, MATMUL = ("lossbench", "best"), ("matmul", "best")
_DIGITS = 4

Row = Mapping[str, str]
Way = tuple[str, str]  # a way and its variant


def rows(size: Size, milliseconds: Mapping[Way, float], n_models: Mapping[Way, float]) -> list[Row]:
    """Return a row for each way, from milliseconds per model and epoch.

    The ratio is to lossbench with every core, the share that of the operations a second which
    the matrix product reaches, whose own milliseconds are those of an epoch's operations.
    """
    facts = (size.d, size.hidden, size.k, size.n_images, BATCH_SIZE)
    table = []
    for way, time in milliseconds.items():
        ratio = time / milliseconds[LOSSBENCH]
        share = milliseconds[MATMUL] / time
        rate = size.operations_per_epoch / time / 1e6
        models = "" if way == MATMUL else f"{n_models[way]:g}"
        figures = map(_figure, (time, ratio, share, rate))
        values = (*way, *map(str, facts), models, *figures)
        table.append(dict(zip(COLUMNS, values, strict=True)))
    return table


def _figure(number: float) -> str:
    return np.format_float_positional(number, precision=_DIGITS, fractional=False, trim="-")


def merged(before: Iterable[Row], new: Sequence[Row]) -> list[Row]:
    """Return the table with the rows of the sizes in ``new`` replaced, in the order of sizes."""
    measured = {_size_of(row) for row in new}
    order = [(str(size.d), str(size.hidden), str(size.k)) for size in SIZES]
    kept = [row for row in before if _size_of(row) in set(order) - measured]
    return sorted([*kept, *new], key=lambda row: order.index(_size_of(row)))


def _size_of(row: Row) -> tuple[str, str, str]:
    return row["d"], row["hidden"], row["k"]


def parsed(text: str) -> list[Row]:
    """Return the rows of a table; none if it has other columns than today's."""
    reader = csv.DictReader(io.StringIO(text))
    return list(reader) if tuple(reader.fieldnames or ()) == COLUMNS else []


def text_of(table: Iterable[Row]) -> str:
    """Return a table as CSV."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return buffer.getvalue()
