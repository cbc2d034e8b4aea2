"""What does a Dask cluster cost? Writes ``results/cluster.csv``.

The default experiment is trained by a local sweep and, in alternation, on a cluster of as many
workers on the same machine, started by Dask's own commands; each in wall seconds from the start
of the command to its end. Each cluster is new, as the local workers are.
"""

import argparse
import csv
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lossbench import engine

_RESULTS = Path(__file__).parent.parent / "results" / "cluster.csv"
_COLUMNS = ("way", "n_workers", "round", "seconds")


def main() -> None:
    """Measure both ways in alternation and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", default="200")
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {"local": [], "cluster": []}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            seconds["local"].append(_swept(Path(folder), arguments.epochs))
        with tempfile.TemporaryDirectory() as folder, _cluster(Path(folder)) as file:
            options = ("--scheduler-file", str(file))
            seconds["cluster"].append(_swept(Path(folder), arguments.epochs, *options))
    for number, both in enumerate(zip(*seconds.values(), strict=True), start=1):
        print(f"round {number}: local {both[0]:.1f} s, cluster {both[1]:.1f} s")
    local, cluster = (statistics.median(times) for times in seconds.values())
    print(f"the cluster takes {cluster / local:.3f} times as long (medians)")
    with _RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for way, times in seconds.items():
            for number, taken in enumerate(times, start=1):
                writer.writerow((way, engine.n_cores(), number, round(taken, 2)))
    print(f"wrote {_RESULTS}")


def _swept(folder: Path, epochs: str, *options: str) -> float:
    """Return the seconds that the default experiment takes."""
    command = [sys.executable, "-m", "lossbench", "sweep", "--epochs", epochs, "--out", "made"]
    started = time.perf_counter()
    subprocess.run([*command, *options], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


@contextmanager
def _cluster(folder: Path) -> Iterator[Path]:
    """Start a scheduler and a worker a core; yield the scheduler's file once all are there."""
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    commands = [[*dask, "scheduler", "--port", "0", *quiet]]
    commands += [[*dask, "worker", "--nthreads", "1", *quiet]] * engine.n_cores()
    with (folder / "log").open("wb") as log:
        processes = [
            subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            for command in commands
        ]
    try:
        while (folder / "log").read_text("utf-8").count("Registered to:") < engine.n_cores():
            time.sleep(0.1)
        yield file
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    main()
