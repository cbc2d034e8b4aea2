"""lossbench itself, through its own workers: a long training less a short one.

So what happens once a run (compilation, the final evaluation, which no other way has) drops
out; the history that a sweep keeps stays in.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.size import BATCH_SIZE, Size
from lossbench import engine, experiment
from lossbench.data import Dataset
from lossbench.experiment import Stack

_MOST_MEMBERS = 8  # of one stack
_N_TEST = 512


class Workers:
    """lossbench's workers at one size, with a program that is compiled; made by ``started``."""

    def __init__(self, crew: engine.Engine, size: Size, n_workers: int) -> None:
        self._crew = crew
        self._size = size
        self._n_workers = n_workers
        images = size.images()
        self._data = Dataset("random", images, images[:_N_TEST], "random")
        self._seconds(epochs=1)
        self.n_models = sum(len(stack.runs) for stack in self._stacks(epochs=1))

    def milliseconds(self) -> float:
        """Return milliseconds per model and epoch, while every worker trains one stack."""
        short, long = self._size.epochs, 3 * self._size.epochs
        seconds = -self._seconds(short) + self._seconds(long)
        return 1000 * seconds / (self.n_models * (long - short))

    def _seconds(self, epochs: int) -> float:
        stacks = self._stacks(epochs)
        started = time.perf_counter()
        outcomes = [o for group in self._crew.outcomes(stacks, lambda _: self._data) for o in group]
        seconds = time.perf_counter() - started
        failed = [outcome.message for outcome in outcomes if outcome.status != "ok"]
        if failed:
            raise RuntimeError(failed[0])
        return seconds

    def _stacks(self, epochs: int) -> tuple[Stack, ...]:
        """Return one full stack for each worker."""
        size = self._size
        axes = {"d": str(size.d), "k": str(size.k), "hidden": str(size.hidden)}
        axes |= {"loss": "docs", "reconstruction_loss": "bce", "beta": "1"}
        axes |= {
            "epochs": str(epochs),
            "eval_every": str(max(1, size.epochs // 4)),
            "batch_size": str(BATCH_SIZE),
            "seeds": str(_MOST_MEMBERS * self._n_workers),
        }
        runs = experiment.read(None, axes).runs()
        return experiment.stacks(runs)[: self._n_workers]


@contextmanager
def started(size: Size, n_workers: int, logs: Path) -> Iterator[Workers]:
    """Start so many workers and compile."""
    with engine.workers(n_workers, logs) as crew:
        yield Workers(crew, size, n_workers)
