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
    "network",
)
_FIGURES = ("ms_per_model_epoch", "times_lossbench", "share_of_matmul_rate", "gflop_per_second")
LOSSBENCH, MATMUL = ("lossbench", "best"), ("matmul", "best")
# What the README calls each way.
NAMES = {
    ("keras-fit", "usual"): "Keras `fit`, usual",
    ("keras-fit", "best"): "Keras `fit`, best",
    ("pytorch-loop", "usual"): "PyTorch loop, usual",
    ("pytorch-loop", "best"): "PyTorch loop, best",
    ("jax-vmap", "usual"): "JAX `vmap` + `scan`, usual",
    ("jax-vmap", "best"): "JAX `vmap` + `scan`, best",
    ("lossbench", "one worker"): "lossbench, one worker",
    LOSSBENCH: "lossbench, both cores",
}
_DIGITS = 4

Row = Mapping[str, str]
Way = tuple[str, str]  # a way and its variant


def rows(size: Size, milliseconds: Mapping[Way, float], n_models: Mapping[Way, float]) -> list[Row]:
    """Return a row for each way, from milliseconds per model and epoch.

    The ratio is to lossbench with every core, the share that of the operations a second which
    the matrix product reaches, whose own milliseconds are those of an epoch's operations.
    """
    facts = {**size.facts, "n_images": str(size.n_images), "batch_size": str(BATCH_SIZE)}
    table = []
    for way, time in milliseconds.items():
        ratio = time / milliseconds[LOSSBENCH]
        share = milliseconds[MATMUL] / time
        rate = size.operations_per_epoch / time / 1e6
        models = "" if way == MATMUL else f"{n_models[way]:g}"
        figures = dict(zip(_FIGURES, map(_figure, (time, ratio, share, rate)), strict=True))
        row = {"way": way[0], "variant": way[1], "n_models": models, **facts, **figures}
        table.append({column: row[column] for column in COLUMNS})
    return table


def _figure(number: float) -> str:
    return np.format_float_positional(number, precision=_DIGITS, fractional=False, trim="-")


def merged(before: Iterable[Row], new: Sequence[Row]) -> list[Row]:
    """Return the table with the rows of the sizes in ``new`` replaced, in the order of sizes."""
    rows = []
    for size in SIZES:
        measured = of_size(new, size)
        rows += measured or of_size(before, size)
    return rows


def of_size(table: Iterable[Row], size: Size) -> list[Row]:
    """Return the rows of one size."""
    return [row for row in table if size.facts.items() <= row.items()]


def for_readme(table: Sequence[Row]) -> str:
    """Return the lines of the README's table: a way a row, and how many times lossbench's time."""
    sizes = [size for size in SIZES if of_size(table, size)]
    lines = [["way", *(size.title for size in sizes)], ["---"] * (1 + len(sizes))]
    for way, name in NAMES.items():
        cells = [
            f"{_told(row['ms_per_model_epoch'])} ({_told(row['times_lossbench'], 2)})"
            for size in sizes
            for row in of_size(table, size)
            if (row["way"], row["variant"]) == way
        ]
        lines.append([name, *cells])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _told(figure: str, digits: int = 3) -> str:
    """Return a figure with few digits; with one more just above 1."""
    number = float(figure)
    digits += digits < 3 and 1 < number < 1.1
    return np.format_float_positional(number, precision=digits, fractional=False, trim="-")


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
