"""How does the store grow? Writes ``results/scale.csv``: seconds and memory of every command.

The records are made, not trained: 20 rows of history each, ten seeds a setting, half of the
settings under each of the seed question's losses. Each command runs in a process of its own.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from lossbench import experiment, sweeping
from lossbench.columns import HISTORY_COLUMNS, METRICS, TIMINGS
from lossbench.run import Record
from lossbench.settings import RunSettings
from lossbench.store.records import encoded

_RESULTS = Path(__file__).parent.parent / "results" / "scale.csv"
_COLUMNS = ("n_runs", "command", "seconds", "mib", "seconds_per_1000_runs")
_N_SEEDS = 10
_N_HISTORY = 20


def main() -> None:
    """Measure every number of runs in turn and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n_runs", type=int, nargs="*", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--results", type=Path, default=_RESULTS)
    arguments = parser.parse_args()
    rows = []
    for n_runs in arguments.n_runs:
        with tempfile.TemporaryDirectory() as folder:
            rows += _measured(n_runs, Path(folder))
    with arguments.results.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"wrote {arguments.results}")


def _measured(n_runs: int, folder: Path) -> list[dict[str, object]]:
    """Return a row for each command on so many records."""
    n_betas = n_runs // (2 * _N_SEEDS)
    asked = folder / "made.toml"
    betas = [float(f"{beta:.6g}") for beta in np.geomspace(0.01, 10, n_betas)]
    asked.write_text(
        f"[sweep]\nloss = ['blog', 'docs']\nbeta = {betas}\nseeds = {_N_SEEDS}\n", "utf-8"
    )
    made = folder / "made"
    grid = ("sweep", str(asked), "--out", str(made))
    planned = _row(n_runs, "plan", (*grid, "--dry-run"), folder)
    _make(asked, made)
    commands = {
        "rebuild": grid,
        "resume": grid,
        "show": ("show", str(made)),
        "compare": ("compare", f"{made}:loss=docs", f"{made}:loss=blog"),
        "report": ("report", str(made)),
    }
    return [planned, *(_row(n_runs, name, command, folder) for name, command in commands.items())]


def _row(n_runs: int, name: str, command: tuple[str, ...], folder: Path) -> dict[str, object]:
    """Return what a command takes."""
    seconds, mib = _timed(command, folder / "output.txt")
    print(f"{n_runs} runs, {name}: {seconds:.2f} s, {mib:.0f} MiB", flush=True)
    values = (n_runs, name, round(seconds, 2), round(mib), round(1000 * seconds / n_runs, 3))
    return dict(zip(_COLUMNS, values, strict=True))


def _make(asked: Path, made: Path) -> None:
    """Write the records of every run, without the care that a real sweep takes."""
    plan = sweeping.plan(experiment.read(asked), made)
    (made / "runs").mkdir(parents=True)
    plan.store.freeze(plan.experiment)
    data = plan.dataset(plan.runs[0])
    for number, run in enumerate(plan.runs):
        record = sweeping.completed(_record(run, number), run, data, None)
        (made / "runs" / f"{run.run_id}.json").write_bytes(encoded(record))


def _record(run: RunSettings, number: int) -> Record:
    generator = np.random.default_rng(number)
    metrics = dict(zip((m.name for m in METRICS), generator.normal(size=len(METRICS)), strict=True))
    history = {name: generator.normal(size=_N_HISTORY).tolist() for name in HISTORY_COLUMNS}
    history |= {"epoch": list(range(10, 201, 10)), "active_units": [1] * _N_HISTORY}
    record = Record.trained(
        run,
        metrics={name: float(value) for name, value in metrics.items()}
        | {"active_units": 1, "collapsed": number % 2 == 0},
        history=history,
        arrays={},
    )
    return replace(record, timing={column.name: "" for column in TIMINGS[1:]})


def _timed(command: tuple[str, ...], output: Path) -> tuple[float, float]:
    """Return the seconds that a command takes and the most memory that it had, in MiB."""
    started = time.perf_counter()
    with output.open("w", encoding="utf-8") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "lossbench", *command], stdout=out, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(output.read_text("utf-8")[-2000:])
    return time.perf_counter() - started, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
