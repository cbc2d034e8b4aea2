"""Which run is blamed for the death of its worker: the one that had three to itself."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import distributed
import numpy as np
import pytest

from lossbench import experiment
from lossbench.data import Dataset
from lossbench.engine import dispatch
from lossbench.engine.dispatch import Engine
from lossbench.experiment import Stack
from lossbench.run import Record


class Ended:
    """A future that is done: with outcomes, or with the death of its worker."""

    def __init__(self, outcomes: list[Record] | None) -> None:
        self._outcomes = outcomes
        self.status = "finished" if outcomes is not None else "error"

    def add_done_callback(self, told: Callable[["Ended"], None]) -> None:
        """Tell at once."""
        told(self)

    def done(self) -> bool:
        """Tell that it is done."""
        return True

    def result(self, timeout: float) -> list[Record]:
        """Return the outcomes, or raise what Dask raises for a worker that died."""
        if self._outcomes is None:
            raise distributed.KilledWorker("train", None, 0)
        assert timeout > 0
        return self._outcomes


class Cluster:
    """A client of one worker, which dies as often as ``deaths`` says of the seeds it is given.

    A new worker takes a dead one's place under a new address; ``tried`` holds every stack.
    """

    status = "running"

    def __init__(self, deaths: Mapping[int, int]) -> None:
        self.tried: list[Stack] = []
        self._left = Counter(deaths)

    def run(self, *_: object, **__: object) -> dict[str, None]:
        """Say that there is no GPU."""
        return {"tcp://0": None}

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        """Return the worker that is there now."""
        assert n_workers == -1
        return {"workers": {f"tcp://{len(self.tried)}": {"name": 0}}}

    def scatter(self, arrays: list[object], **_: object) -> list[Ended]:
        """Send nothing."""
        return [Ended([]) for _ in arrays]

    def submit(self, _train: object, stack: Stack, *_: object, **__: object) -> Ended:
        """Train a stack in no time, or die of it."""
        self.tried.append(stack)
        deadly = [run.seed for run in stack.runs if self._left[run.seed] > 0]
        self._left.subtract(deadly)
        return Ended(None if deadly else [Record.trained(run, {}, {}, {}) for run in stack.runs])


def trained(
    monkeypatch: pytest.MonkeyPatch, n_seeds: int, deaths: Mapping[int, int]
) -> tuple[dict[int, Record], list[list[int]]]:
    """Return the outcome of every seed of one setting, and the seeds of every stack tried."""
    monkeypatch.setattr(dispatch, "_POLL_SECONDS", 0.0)
    cluster = Cluster(deaths)
    axes = {"loss": "docs", "reconstruction_loss": "bce", "beta": "1", "d": "16", "k": "2"}
    runs = experiment.read(None, axes | {"seeds": str(n_seeds)}).runs()
    engine = Engine(cluster, None, lambda *_: None)
    images = Dataset("zeros", np.zeros((128, 16), np.float32), np.zeros((128, 16), np.float32), "h")
    waiting = [Stack(runs=tuple(runs), width=8)]
    found = [one for some in engine.records(waiting, lambda _: images) for one in some]
    assert len(found) == n_seeds
    tried = [[run.seed for run in stack.runs] for stack in cluster.tried]
    return {int(str(one.settings["seed"])): one for one in found}, tried


def test_a_run_is_blamed_for_the_third_worker_that_it_had_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The death of the whole stack's worker counts for nobody; the others are well."""
    outcomes, tried = trained(monkeypatch, 3, {1: 99})
    assert {seed: one.status for seed, one in outcomes.items()} == {0: "ok", 1: "crashed", 2: "ok"}
    assert "the worker process died" in outcomes[1].message
    assert tried[0] == [0, 1, 2]
    assert tried.count([1]) == 3
    assert tried.count([0]) == tried.count([2]) == 1


@pytest.mark.parametrize("n_deaths", [1, 2, 3])
def test_workers_that_were_killed_fail_no_run(
    monkeypatch: pytest.MonkeyPatch, n_deaths: int
) -> None:
    """Two deaths alone, after one in company, are forgiven: the third try is well."""
    outcomes, tried = trained(monkeypatch, 2, {0: n_deaths})
    assert {one.status for one in outcomes.values()} == {"ok"}
    assert tried.count([0]) == n_deaths


def test_a_single_run_has_three_workers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone from the beginning, it is blamed for the third death and not before."""
    outcomes, tried = trained(monkeypatch, 1, {0: 2})
    assert (outcomes[0].status, len(tried)) == ("ok", 3)
    outcomes, tried = trained(monkeypatch, 1, {0: 3})
    assert (outcomes[0].status, len(tried)) == ("crashed", 3)
