"""A stack of lossbench in this process: all that a worker does with it, its evaluation too."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.size import BATCH_SIZE, Size
from lossbench import experiment, worker
from lossbench.experiment import Stack

_N_TEST = 512


@contextmanager
def prepared(
    size: Size, width: int, threads: int = 1
) -> Iterator[tuple[Callable[[int], None], int]]:
    """Give what trains so many epochs of ``width`` models, and their number."""
    worker.prepare(None)
    import tensorflow as tf  # noqa: PLC0415 - lossbench sets it up, for one thread

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    images = size.images()

    def train(n_epochs: int) -> None:
        outcomes = worker.train(_stack(size, width, n_epochs), images, images[:_N_TEST])
        failed = [outcome.message for outcome in outcomes if outcome.status != "ok"]
        if failed:
            raise RuntimeError(failed[0])

    yield train, width


def _stack(size: Size, width: int, epochs: int) -> Stack:
    axes = {"d": str(size.d), "k": str(size.k), "hidden": str(size.hidden)}
    axes |= {"loss": "docs", "reconstruction_loss": "bce", "beta": "1", "seeds": str(width)}
    axes |= {"epochs": str(epochs), "eval_every": "4", "batch_size": str(BATCH_SIZE)}
    return Stack(tuple(experiment.read(None, axes).runs()), width)
