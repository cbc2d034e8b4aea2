"""lossbench itself, through its own workers."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.size import Size
from bench.stack import N_TEST, long_less_short, runs
from lossbench import engine, experiment
from lossbench.data import Dataset
from lossbench.experiment import Stack

_MOST_MEMBERS = 8  # of one stack


@contextmanager
def prepared(size: Size, n_workers: int) -> Iterator[tuple[Callable[[int], float], int]]:
    """Give what trains so many epochs and returns their seconds, and the number of models.

    Every worker trains one stack.
    """
    images = size.images()
    data = Dataset("random", images, images[:N_TEST], "random")

    def seconds(epochs: int, eval_every: int) -> float:
        stacks = _stacks(size, n_workers, epochs, eval_every)
        started = time.perf_counter()
        records = [record for group in crew.records(stacks, lambda _: data) for record in group]
        failed = [record.message for record in records if record.status != "ok"]
        if failed:
            raise RuntimeError(failed[0])
        return time.perf_counter() - started

    train = long_less_short(seconds)
    n_models = sum(len(stack.runs) for stack in _stacks(size, n_workers, 1, 1))
    with tempfile.TemporaryDirectory() as logs, engine.workers(n_workers, Path(logs)) as crew:
        train(size.epochs)  # compiles
        yield train, n_models


def _stacks(size: Size, n_workers: int, epochs: int, eval_every: int) -> tuple[Stack, ...]:
    """Return one full stack for each worker."""
    n_runs = _MOST_MEMBERS * n_workers
    return experiment.stacks(runs(size, n_runs, epochs, eval_every))[:n_workers]
