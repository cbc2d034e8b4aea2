"""A stack of lossbench in this process: all that a worker does with it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.size import BATCH_SIZE, Size
from lossbench import experiment, worker
from lossbench.experiment import Stack
from lossbench.settings import RunSettings

N_TEST = 512
_N_HISTORY = 8


@contextmanager
def prepared(
    size: Size, width: int, threads: int = 1
) -> Iterator[tuple[Callable[[int], float], int]]:
    """Give what trains so many epochs of ``width`` models and returns their seconds; ``width``."""
    worker.prepare()
    import tensorflow as tf  # noqa: PLC0415 - lossbench sets it up, for one thread

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    images = size.images()

    def seconds(epochs: int, eval_every: int) -> float:
        stack = Stack(runs(size, width, epochs, eval_every), width)
        started = time.perf_counter()
        records = worker.train(stack, images, images[:N_TEST])
        failed = [record.message for record in records if record.status != "ok"]
        if failed:
            raise RuntimeError(failed[0])
        return time.perf_counter() - started

    train = long_less_short(seconds)
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


def runs(size: Size, n_runs: int, epochs: int, eval_every: int) -> tuple[RunSettings, ...]:
    """Return runs of one shape that differ in their seed."""
    axes = {"d": str(size.d), "k": str(size.k), "hidden": str(size.hidden)}
    axes |= {"loss": "docs", "reconstruction_loss": "bce", "beta": "1"}
    axes |= {
        "epochs": str(epochs),
        "eval_every": str(eval_every),
        "batch_size": str(BATCH_SIZE),
        "seeds": str(n_runs),
    }
    return tuple(experiment.read(None, axes).runs())
