"""How wide should a stack be, and how many threads should train it? Writes ``results/width.csv``.

Stacks of several widths are trained in alternation, a process of one thread on each core at the
same time, as a sweep does; beside them, a process of one stack with every core. The median of the
rounds is kept, in milliseconds per model and epoch.
"""

import argparse
import csv
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.size import SIZES, Size
from bench.team import Team, Variant, cores

_RESULTS = Path(__file__).parent.parent / "results"
_COLUMNS = ("d", "hidden", "k", "processes", "threads", "width", "ms_per_model_epoch")
_LARGE = (1, 2, 4)
_WIDTHS = {
    **{"64x64": (1, 2, 4, 8, 16, 32), "196x128": (1, 2, 4, 8, 16)},
    **{"784x512": _LARGE, "784x400": _LARGE},
}


def main() -> None:
    """Measure every size; write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder for the table")
    arguments = parser.parse_args()
    sizes = [size for size in SIZES if size.name in _WIDTHS]
    rows = [row for size in sizes for row in _rows(size, arguments.rounds)]
    path = arguments.results / "width.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(rows)
    print(f"wrote {path}")


def _rows(size: Size, n_rounds: int) -> list[tuple[object, ...]]:
    """Return a row for each way to train one size."""
    n_cores, widths = len(cores()), _WIDTHS[size.name]
    ways = [(n_cores, 1, width) for width in widths] + [(1, n_cores, widths[-1])]
    with ExitStack() as running, tempfile.TemporaryDirectory() as logs:
        teams = []
        for number, (processes, threads, width) in enumerate(ways):
            setting = {"width": width, "threads": threads}
            variant = Variant(
                *("lossbench", f"width {width}", "stack", (setting,)),
                one_a_core=processes > 1,
                n_epochs=size.epochs // 2,
            )
            team = Team(variant, setting, size, Path(logs) / f"{number}.log")
            running.callback(team.close)
            teams.append(team)
        rounds = [[team.milliseconds() for team in teams] for _ in range(n_rounds + 1)]
    rows = []
    for way, times in zip(ways, zip(*rounds[1:], strict=True), strict=True):  # the first compiles
        rows.append((size.d, size.facts["hidden"], size.k, *way, f"{statistics.median(times):.4g}"))
        print(*rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    main()
