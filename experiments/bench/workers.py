"""lossbench itself, through its own workers."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.size import Size
from bench.stack import asked, long_less_short
from lossbench import engine, experiment
from lossbench.experiment import Stack
from lossbench.sweeping import Plan

_MOST_MEMBERS = 8  # of one stack


@contextmanager
def prepared(size: Size, n_workers: int) -> Iterator[tuple[Callable[[int], float], int]]:
    """Give what trains so many epochs and returns their seconds, and the number of models.

    Every worker trains one full stack.
    """

    def stacks(plan: Plan) -> tuple[Stack, ...]:
        return experiment.stacks(plan.runs)[:n_workers]

    def seconds(epochs: int, eval_every: int) -> float:
        plan = asked(size, _MOST_MEMBERS * n_workers, epochs, eval_every, Path(folder))
        data = plan.dataset(plan.runs[0])
        started = time.perf_counter()
        groups = crew.records(stacks(plan), lambda _: data)
        failed = [r.message for group in groups for r in group if r.status != "ok"]
        if failed:
            raise RuntimeError(failed[0])
        return time.perf_counter() - started

    train = long_less_short(seconds)
    with (
        tempfile.TemporaryDirectory() as folder,
        engine.workers(n_workers, Path(folder) / "logs") as crew,
    ):
        train(size.epochs)  # compiles
        plan = asked(size, _MOST_MEMBERS * n_workers, 1, 1, Path(folder))
        yield train, sum(len(stack.runs) for stack in stacks(plan))
