"""lossbench itself, through its own workers: a long training less a short one.

So what happens once a run (compilation, the final evaluation, which no other way has) drops
out; the history that a sweep keeps stays in.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.size import BATCH_SIZE, Size
from lossbench import engine, experiment
from lossbench.data import Dataset
from lossbench.experiment import Stack

_MOST_MEMBERS = 8  # of one stack
_N_TEST = 512
_N_HISTORY = 8


@contextmanager
def prepared(size: Size, n_workers: int) -> Iterator[tuple[Callable[[int], float], int]]:
    """Give what trains so many epochs and returns their seconds, and the number of models.

    Every worker trains one stack.
    """
    images = size.images()
    data = Dataset("random", images, images[:_N_TEST], "random")

    def seconds(epochs: int, eval_every: int) -> float:
        stacks = _stacks(size, n_workers, epochs, eval_every)
        started = time.perf_counter()
        outcomes = [o for group in crew.outcomes(stacks, lambda _: data) for o in group]
        failed = [outcome.message for outcome in outcomes if outcome.status != "ok"]
        if failed:
            raise RuntimeError(failed[0])
        return time.perf_counter() - started

    def train(n_epochs: int) -> float:
        short, eval_every = max(1, n_epochs // 4), max(1, n_epochs // _N_HISTORY)
        before = seconds(short, eval_every)
        return seconds(short + n_epochs, eval_every) - before

    n_models = sum(len(stack.runs) for stack in _stacks(size, n_workers, 1, 1))
    with tempfile.TemporaryDirectory() as logs, engine.workers(n_workers, Path(logs)) as crew:
        train(size.epochs)  # compiles
        yield train, n_models


def _stacks(size: Size, n_workers: int, epochs: int, eval_every: int) -> tuple[Stack, ...]:
    """Return one full stack for each worker."""
    axes = {"d": str(size.d), "k": str(size.k), "hidden": str(size.hidden)}
    axes |= {"loss": "docs", "reconstruction_loss": "bce", "beta": "1"}
    axes |= {
        "epochs": str(epochs),
        "eval_every": str(eval_every),
        "batch_size": str(BATCH_SIZE),
        "seeds": str(_MOST_MEMBERS * n_workers),
    }
    runs = experiment.read(None, axes).runs()
    return experiment.stacks(runs)[:n_workers]
