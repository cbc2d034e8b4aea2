"""How fast is lossbench against its peers? Writes ``results/speed.csv`` and ``speed.png``.

Every way trains the same VAE on as many random images: Keras ``model.fit``, a PyTorch loop, JAX
with ``vmap`` and ``scan``, lossbench; dense networks, and one of convolutions. Each is timed as it
is usually run (one process, every core; lossbench with one worker) and at its best on the same
cores (a process of one thread for each core, all at the same time). The processes stay warm and are
timed in alternation, the others stopped meanwhile; the median of the rounds is kept. Beside them
stands the best of a large matrix product on every core.

The machine should have nothing else to do: threads that wait for each other on a busy core make
a peer look many times slower than it is.
"""

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import figure, table
from bench.size import SIZES, Size
from bench.table import MATMUL, Row, Way
from bench.team import Team, fastest
from bench.variants import variants
from lossbench.report import style

_HERE = Path(__file__).parent
_RESULTS = _HERE.parent / "results"
_JAX = _HERE.parent / ".venv" / "jax"


def main() -> None:
    """Measure the sizes that are asked for; replace their rows of the table and the figure."""
    names = [size.name for size in SIZES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--sizes", nargs="+", choices=names, default=names, metavar="SIZE", help=", ".join(names)
    )
    parser.add_argument("--jax", type=Path, default=_JAX, help="folder that JAX is installed in")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder for the results")
    arguments = parser.parse_args()
    arguments.results.mkdir(exist_ok=True)
    path = arguments.results / "speed.csv"
    for size in SIZES:
        if size.name in arguments.sizes:
            new = _measured(size, arguments.rounds, arguments.jax.resolve())
            before = table.parsed(path.read_text("utf-8")) if path.exists() else []
            rows = table.merged(before, new)
            path.write_text(table.text_of(rows), "utf-8")
    path.with_suffix(".png").write_bytes(style.png(figure.drawing(rows)))
    print(f"wrote {path} and {path.with_suffix('.png').name}; the README's table:\n")
    print(table.for_readme(rows))


def _measured(size: Size, n_rounds: int, jax: Path) -> list[Row]:
    """Return a row for each way at one size, from alternating rounds."""
    print(f"{size.title}: starting, compiling", flush=True)
    with ExitStack() as running, tempfile.TemporaryDirectory() as logs:
        teams: dict[Way, Team] = {}
        for number, variant in enumerate(variants(size, jax)):
            team = fastest(variant, size, Path(logs) / f"{number}.log")
            running.callback(team.close)
            print(f"  {variant.way} ({variant.variant}): {dict(team.setting)}", flush=True)
            teams[variant.way, variant.variant] = team
        times: dict[Way, list[float]] = {way: [] for way in teams}
        for _ in range(n_rounds):
            for way, team in teams.items():
                times[way].append(team.milliseconds())
    medians = {way: statistics.median(of_rounds) for way, of_rounds in times.items()}
    medians[MATMUL] = min(times[MATMUL])  # what the machine can do, not what it usually does
    rows = table.rows(size, medians, {way: team.n_models for way, team in teams.items()})
    for row, of_rounds in zip(rows, times.values(), strict=True):
        spread = f"{min(of_rounds):.4g} to {max(of_rounds):.4g}"
        print(
            f"  {row['way']} ({row['variant']}): {row['ms_per_model_epoch']} ms ({spread}), "
            f"x{row['times_lossbench']}, {row['gflop_per_second']} GFLOP/s",
            flush=True,
        )
    return rows


if __name__ == "__main__":
    main()
