"""The engine: failures are values, one bad run costs one run, nothing is left running."""

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import numpy as np
import psutil
import pytest

from lossbench import engine, experiment
from lossbench.data import Dataset
from lossbench.engine import Engine
from lossbench.engine.waiting import Waiting
from lossbench.experiment import Stack
from lossbench.worker import Outcome

DATA = Dataset("none", np.zeros((4, 1), np.float32), np.zeros((2, 1), np.float32), "sha")
RAISES, DIES, FAULTS, HANGS = 3, 5, 6, 9
N_RUNS = 20


def faulty(stack: Stack, training: np.ndarray, _test: np.ndarray) -> list[Outcome]:
    """Stand in for training: every run is fine but for a few seeds, which end badly."""
    seeds = {run.seed for run in stack.runs}
    if DIES in seeds:
        os._exit(1)
    if FAULTS in seeds:
        print("about to fault", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if RAISES in seeds:
        return [Outcome(run, "crashed", message="ValueError: three") for run in stack.runs]
    if HANGS in seeds:
        time.sleep(3600)
    return [
        Outcome(run, "ok", metrics={"elbo": float(run.seed)}, timing={"n": len(training)})
        for run in stack.runs
    ]


@pytest.fixture
def crew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Return two workers that train nothing and fail as they are told."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(engine.dispatch, "train", faulty)
    monkeypatch.setattr(engine.cluster, "prepare", lambda _log: None)
    monkeypatch.setattr(engine.dispatch, "_GRACE_SECONDS", 0.5)
    with engine.workers(2, tmp_path / "logs") as crew:
        yield crew


def stacks(seeds: str, **overrides: str) -> tuple[Stack, ...]:
    """Return the stacks of one setting with these seeds."""
    axes = {"loss": "docs", "d": "1", "seeds": seeds, "time_limit": "1"} | overrides
    return experiment.stacks(experiment.read(None, axes).runs())


def test_one_bad_run_is_one_bad_run(crew: Engine) -> None:
    """An exception, a dead process and a segmentation fault cost three runs of twenty."""
    wanted = stacks(str(N_RUNS), reconstruction_loss="bce", beta="1", k="2")
    seeds = [run.seed for stack in wanted for run in stack.runs if run.seed != HANGS]
    fine = stacks(",".join(map(str, seeds)), reconstruction_loss="bce", beta="1", k="2")
    outcomes = [o for group in crew.outcomes(fine, lambda _: DATA) for o in group]
    statuses = {outcome.run.seed: outcome.status for outcome in outcomes}
    assert len(outcomes) == len(seeds)
    assert {seed for seed, status in statuses.items() if status == "crashed"} == {
        RAISES,
        DIES,
        FAULTS,
    }
    assert all(o.metrics["elbo"] == o.run.seed for o in outcomes if o.status == "ok")
    messages = {outcome.run.seed: outcome.message for outcome in outcomes}
    assert messages[RAISES] == "ValueError: three"
    assert "died" in messages[DIES]


def test_a_hang_ends_at_the_time_limit(crew: Engine) -> None:
    """A run that never returns is a timeout, and the worker that held it goes on."""
    wanted = stacks(f"{HANGS},", reconstruction_loss="bce", beta="1", k="2")
    wanted += stacks("1,2", reconstruction_loss="mse", beta="1", k="2")
    outcomes = [o for group in crew.outcomes(wanted, lambda _: DATA) for o in group]
    assert sorted((o.run.seed, o.status) for o in outcomes) == [
        (1, "ok"),
        (2, "ok"),
        (HANGS, "timeout"),
    ]


def test_an_interrupted_engine_leaves_no_process(tmp_path: Path) -> None:
    """Whatever ends the block ends its workers, too."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(KeyboardInterrupt), engine.workers(2, tmp_path / "logs"):
        raise KeyboardInterrupt
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        left = [
            child
            for child in psutil.Process().children(recursive=True)
            if child.pid not in before and "resource_tracker" not in " ".join(child.cmdline())
        ]
        if not left:
            break
        time.sleep(0.1)
    assert left == []


def test_the_engine_listens_on_this_machine_alone(tmp_path: Path) -> None:
    """Every port is on 127.0.0.1, and Dask's usual one may be taken by another program."""
    with socket.socket() as other, engine.workers(1, tmp_path / "logs"):
        with contextlib.suppress(OSError):  # somebody else has it, which is as good
            other.bind(("0.0.0.0", 8787))  # noqa: S104
            other.listen()
        with engine.workers(1, tmp_path / "more logs"):
            processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
            listening = [
                connection.laddr.ip
                for process in processes
                for connection in process.net_connections(kind="inet")
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port != 8787
            ]
    assert len(listening) >= 4
    assert set(listening) == {"127.0.0.1"}


def test_a_worker_gets_what_it_has_compiled_then_what_nobody_has() -> None:
    """Its own shapes first, then shapes that are new to all, then the commonest; what goes again
    comes first.
    """  # noqa: D205
    one = {"reconstruction_loss": "bce", "beta": "1", "k": "2"}
    few, many = stacks("16", d="1", **one), stacks("24", d="4", **one)
    waiting = Waiting([*few, *many])
    rare, common = few[0].shape, many[0].shape
    assert waiting.take({rare}, set()).shape == rare
    waiting.put_back([few[0]])
    assert waiting.take(set(), set()).shape == common
    assert waiting.take(set(), {common}).shape == rare
    again = waiting.take({common}, set())
    waiting.put_back([again])
    assert waiting.take({common}, set()) is again
    assert waiting
    n_left = 0
    while waiting:
        waiting.take(set(), set())
        n_left += 1
    assert n_left == len(few) + len(many) - 3
    with pytest.raises(IndexError):
        waiting.take(set(), set())
