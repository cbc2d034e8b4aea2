"""A stack of lossbench in this process: all that a worker does with it."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.size import BATCH_SIZE, Size
from lossbench import experiment, sweeping, worker
from lossbench.experiment import Stack
from lossbench.sweeping import Plan

_MOST_TEST = 512
_N_HISTORY = 8


@contextmanager
def prepared(
    size: Size, width: int, threads: int = 1
) -> Iterator[tuple[Callable[[int], float], int]]:
    """Give what trains so many epochs of ``width`` models and returns their seconds; ``width``."""
    worker.prepare()
    import tensorflow as tf  # noqa: PLC0415 - lossbench sets it up, for one thread

    tf.config.threading.set_intra_op_parallelism_threads(threads)

    def seconds(epochs: int, eval_every: int) -> float:
        plan = asked(size, width, epochs, eval_every, Path(folder))
        data = plan.dataset(plan.runs[0])
        started = time.perf_counter()
        records = worker.train(Stack(plan.runs, width), data.train, data.test)
        failed = [record.message for record in records if record.status != "ok"]
        if failed:
            raise RuntimeError(failed[0])
        return time.perf_counter() - started

    train = long_less_short(seconds)
    with tempfile.TemporaryDirectory() as folder:
        train(size.epochs)  # compiles
        yield train, width


def long_less_short(seconds: Callable[[int, int], float]) -> Callable[[int], float]:
    """Return what times so many epochs: a long training less a short one.

    So what happens once a run (compilation, the final evaluation, which no other way has) drops
    out; the history that a sweep keeps stays in. ``seconds`` trains so many epochs and measures
    the history every so many.
    """

    def train(n_epochs: int) -> float:
        short, eval_every = max(1, n_epochs // 4), max(1, n_epochs // _N_HISTORY)
        before = seconds(short, eval_every)
        return seconds(short + n_epochs, eval_every) - before

    return train


def asked(size: Size, n_runs: int, epochs: int, eval_every: int, folder: Path) -> Plan:
    """Return the plan of runs that differ in their seed alone; its data lie in ``folder``."""
    path = folder / "images.npz"
    if not path.exists():
        images = size.images()
        np.savez(path, x_train=images, x_test=images[: min(_MOST_TEST, len(images) // 5)])
    axes = {
        **{"dataset": str(path), "d": str(size.d), "k": str(size.k)},
        **{"loss": "docs", "reconstruction_loss": "bce", "beta": "1"},
        **{"epochs": str(epochs), "eval_every": str(eval_every)},
        **{"batch_size": str(BATCH_SIZE), "seeds": str(n_runs)},
    }
    return sweeping.plan(experiment.read(None, axes | size.settings), folder / "results")
