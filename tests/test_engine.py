"""The engine: nothing is left running, and nothing listens to the world."""

import contextlib
import socket
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from image_files import made

from lossbench import engine, experiment
from lossbench.experiment import Stack


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_gpu_that_tensorflow_cannot_use_leaves_a_worker_for_every_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker asks first, where the machine shows a GPU; the others follow, and train."""
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(engine.local, "_DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert engine.local._sees_gpu()
    waiting = stacks(2, d=1)
    images = np.zeros((128, 1), np.float32)
    with engine.workers(2, tmp_path / "logs") as crew:
        assert crew.device == "CPU"
        assert set(crew._workers()) == {"0", "1"}
        (records,) = crew.records(waiting, lambda _: made(images))
    assert [record.status for record in records] == ["ok", "ok"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not engine.local._sees_gpu()


def stacks(n_seeds: int, d: int) -> tuple[Stack, ...]:
    """Return the stacks of one setting."""
    axes = {"loss": "docs", "reconstruction_loss": "bce", "beta": "1", "k": "2", "epochs": "2"}
    return experiment.stacks(
        experiment.read(None, axes | {"d": str(d), "seeds": str(n_seeds)}).runs()
    )
