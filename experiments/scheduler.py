"""How many workers can one sweep keep busy? Writes ``results/scheduler.csv``.

Measured: the stacks a second that one sweep hands out, takes back and writes down, with a
training that takes no time. Simulated: workers that each take so many seconds for a stack, and
a sweep that serves one of them after the other at the measured rate; the share of the time that
they work.
"""

import argparse
import csv
import heapq
import tempfile
import time
from pathlib import Path

import numpy as np

from lossbench import engine, experiment, sweeping
from lossbench.engine import dispatch
from lossbench.experiment import Stack
from lossbench.run import Record

_RESULTS = Path(__file__).parent.parent / "results" / "scheduler.csv"
_COLUMNS = ("n_workers", "stack_seconds", "stacks_per_second", "busy_share")
_N_STACKS = 400
_STACKS_A_WORKER = 50
_N_WORKERS = (2, 10, 100, 1_000, 10_000)
_STACK_SECONDS = (1.0, 6.0, 60.0)


def main() -> None:
    """Measure the rate, simulate larger clusters and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    rate = _stacks_a_second()
    print(f"one sweep hands out, takes back and writes {rate:.0f} stacks a second")
    rows = [
        dict(
            zip(_COLUMNS, (n_workers, seconds, *_simulated(n_workers, seconds, rate)), strict=True)
        )
        for seconds in _STACK_SECONDS
        for n_workers in _N_WORKERS
    ]
    with _RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"wrote {_RESULTS}")


def _trains_nothing(stack: Stack, *_arrays: object) -> list[Record]:
    """Stand in for training; it is defined in the script, so it travels to the workers whole."""
    images = np.random.default_rng(0).random((8, 64), np.float32)
    arrays = {"originals": images, "reconstructions": images, "prior": images}
    return [Record.trained(run, {}, {}, arrays) for run in stack.runs]


def _stacks_a_second() -> float:
    """Return how many stacks a second go to workers, come back and are written down."""
    dispatch.train = _trains_nothing
    axes = {"loss": "docs", "reconstruction_loss": "bce", "beta": "1", "k": "2", "d": "64"}
    asked = experiment.read(None, axes | {"seeds": str(8 * _N_STACKS)})
    with tempfile.TemporaryDirectory() as folder:
        plan = sweeping.plan(asked, Path(folder) / "results")
        with (
            plan.store.locked(print),
            engine.workers(engine.n_cores(), Path(folder) / "logs") as crew,
        ):
            started = time.perf_counter()
            n_runs = sum(1 for _ in sweeping.carry_out(plan, crew, plan.runs))
            return n_runs / 8 / (time.perf_counter() - started)


def _simulated(n_workers: int, seconds: float, rate: float) -> tuple[float, float]:
    """Return stacks a second and the workers' busy share, with one server for all of them."""
    ready = [0.0] * n_workers  # when each worker asks for its next stack
    served = 0.0
    n_stacks = _STACKS_A_WORKER * n_workers
    last = 0.0
    for _ in range(n_stacks):
        asked = heapq.heappop(ready)
        served = max(served, asked) + 1 / rate
        last = served + seconds
        heapq.heappush(ready, last)
    return round(n_stacks / last, 2), round(n_stacks * seconds / (n_workers * last), 4)


if __name__ == "__main__":
    main()
