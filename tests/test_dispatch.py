"""The plumbing between the policy and Dask, with a client that stands in for Dask's."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import distributed
import numpy as np
import pytest
from image_files import made

from lossbench import experiment
from lossbench.engine import dispatch
from lossbench.engine.dispatch import Engine
from lossbench.errors import RunsFailedError
from lossbench.experiment import Stack
from lossbench.run import Record

IMAGES = np.zeros((128, 16), np.float32)


class Job:
    """A future: of a stack that is trained, or of something that goes wrong."""

    def __init__(self, records: list[Record], fate: str) -> None:
        self._records = records
        self._fate = fate
        self.status = {"": "finished", "hang": "pending", "cancel": "cancelled"}.get(fate, "error")
        self.is_cancelled = False

    def add_done_callback(self, told: Callable[["Job"], None]) -> None:
        """Tell at once, if it is done."""
        if self.done():
            told(self)

    def done(self) -> bool:
        """Tell whether it is done."""
        return self.status != "pending"

    def cancel(self) -> None:
        """Note that it was given up."""
        self.is_cancelled = True

    def result(self, timeout: float) -> list[Record]:
        """Return the records, or raise what Dask raises."""
        assert timeout > 0
        if self._fate == "die":
            raise distributed.KilledWorker("train", None, 0)
        if self._fate == "raise":
            raise ValueError("it was raised in between")
        return self._records


class Client:
    """A client of one worker, to which the ``fates`` happen one after the other.

    Afterwards all goes well. A new process has a new address; ``jobs`` holds all that was sent.
    """

    status = "running"
    scheduler = SimpleNamespace(address="tcp://scheduler")

    def __init__(self, *fates: str) -> None:
        self.jobs: list[Job] = []
        self.tried: list[Stack] = []
        self._fates = list(fates)

    def run(self, *_: object, **__: object) -> dict[str, None]:
        """Say that there is no GPU."""
        return {"tcp://0": None}

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        """Return the worker that is there now."""
        assert n_workers == -1
        n_gone = sum(job.done() or job.is_cancelled for job in self.jobs)
        return {"workers": {f"tcp://{n_gone}": {"name": 0}}}

    def scatter(self, arrays: list[object], **_: object) -> list[Job]:
        """Send nothing; fail where that is the next fate."""
        if self._fates[:1] == ["unsent"]:
            self._fates.pop(0)
            raise TimeoutError
        return [Job([], "") for _ in arrays]

    def submit(self, _train: object, stack: Stack, *_: object, **__: object) -> Job:
        """Train a stack in no time, or let it meet its fate."""
        self.tried.append(stack)
        records = [Record.trained(run, {}, {}, {}) for run in stack.runs]
        self.jobs.append(Job(records, self._fates.pop(0) if self._fates else ""))
        return self.jobs[-1]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a clock that goes on by a second each time it is asked; nothing waits."""
    clock = SimpleNamespace(now=0.0)

    def monotonic() -> float:
        clock.now += 1
        return float(clock.now)

    monkeypatch.setattr(dispatch, "time", SimpleNamespace(monotonic=monotonic))
    monkeypatch.setattr(dispatch, "_POLL_SECONDS", 1e-4)
    return clock


def swept(
    client: Client, n_seeds: int = 1, logs: Path | None = None, restarted: list[str] | None = None
) -> dict[object, Record]:
    """Return the record of every seed of one stack."""
    axes = {"loss": "docs", "reconstruction_loss": "bce", "beta": "1", "d": "16", "k": "2"}
    runs = experiment.read(None, axes | {"seeds": str(n_seeds), "time_limit": "2"}).runs()
    noted: list[str] = [] if restarted is None else restarted
    engine = Engine(client, logs, lambda name, address: noted.append(f"{name} at {address}"))
    images = made(IMAGES)
    found = [one for some in engine.records([Stack(runs, 8)], lambda _: images) for one in some]
    assert len(found) == n_seeds
    return {record.settings["seed"]: record for record in found}


@pytest.mark.usefixtures("clock")
def test_a_worker_that_dies_is_told_with_its_last_lines(tmp_path: Path) -> None:
    """Three of them, and the run is blamed; the log is that of the worker's name."""
    (tmp_path / "worker-0.log").write_text("\n".join(f"line {n}" for n in range(20)))
    client = Client("die", "die", "die")
    (record,) = swept(client, logs=tmp_path).values()
    first, *lines = record.message.splitlines()
    assert record.status == "crashed"
    assert first == "the worker process died; the worker's last lines:"
    assert lines == [f"line {n}" for n in range(8, 20)]
    assert len(client.tried) == 3


@pytest.mark.usefixtures("clock")
def test_a_stack_whose_worker_died_is_tried_run_by_run() -> None:
    """Then every run is well."""
    client = Client("die")
    assert {record.status for record in swept(client, 3).values()} == {"ok"}
    assert [len(stack.runs) for stack in client.tried] == [3, 1, 1, 1]


@pytest.mark.usefixtures("clock")
def test_what_dask_raises_of_a_living_worker_is_the_message() -> None:
    """A run alone is not tried again."""
    client = Client("raise")
    (record,) = swept(client).values()
    assert (record.status, record.message) == ("crashed", "ValueError: it was raised in between")
    assert len(client.tried) == 1


@pytest.mark.usefixtures("clock")
def test_a_worker_that_hangs_is_restarted() -> None:
    """By its name and address, once the time is over; its future is given up."""
    client, restarted = Client("hang"), list[str]()
    (record,) = swept(client, restarted=restarted).values()
    assert record.status == "timeout"
    assert record.message.startswith("the time limit was over")
    assert restarted == ["0 at tcp://0"]
    assert [job.is_cancelled for job in client.jobs] == [True]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("fate", ["cancel", "unsent"])
def test_a_stack_that_is_lost_on_its_way_is_sent_again(fate: str) -> None:
    """As it is, and nobody is blamed."""
    client = Client(*[fate] * 4)
    assert [record.status for record in swept(client, 2).values()] == ["ok", "ok"]
    assert {len(stack.runs) for stack in client.tried} == {2}


def test_who_has_no_workers_waits_and_gives_up(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two minutes."""
    monkeypatch.setattr(Client, "scheduler_info", lambda *_, **__: {})
    with pytest.raises(RunsFailedError, match="every worker is gone and none came back"):
        swept(Client())
    assert clock.now > 120


@pytest.mark.usefixtures("clock")
def test_a_scheduler_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its address."""
    monkeypatch.setattr(Client, "status", "closed")
    with pytest.raises(RunsFailedError, match="the connection to the scheduler is lost") as caught:
        swept(Client())
    assert caught.value.where == "tcp://scheduler"
