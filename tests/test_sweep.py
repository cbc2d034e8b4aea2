"""A sweep, from outside: interrupted, extended, recovered, and with runs that fail."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import TINY, lossbench

from lossbench.columns import METRIC_COLUMNS
from lossbench.store import Store

TABLES = ("runs.csv", "history.csv", "summary.csv")
SLOW = (
    *("--d", "64", "--k", "2", "--reconstruction-loss", "bce", "--beta", "0.1,1,4"),
    *("--seeds", "8", "--epochs", "300"),
)
SIGNAL_IN_A_DESTRUCTOR = """
import signal
from lossbench import cli
from lossbench.store import Store

class Destroyed:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)

def save(*arguments, save=Store.save):
    save(*arguments)
    Destroyed()

Store.save = save
cli.main()
"""


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a sweep in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "lossbench", "sweep", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_records(results: Path, n_records: int) -> set[str]:
    """Wait until a sweep has written so many records; return their names."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        names = {path.name for path in results.glob("runs/*.json")}
        if len(names) >= n_records:
            return names
        time.sleep(0.02)
    raise AssertionError(f"{results} never had {n_records} records")


def left_over(session: int) -> list[psutil.Process]:
    """Return the processes of a session that still live."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            continue
    return found


def all_gone(session: int, seconds: float) -> bool:
    """Tell whether every process of a session ends in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and left_over(session):
        time.sleep(0.05)
    return not left_over(session)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_sweep_in_order(tmp_path: Path, number: int, code: int) -> None:
    """Its own exit code within five seconds, a word to the user, no process left."""
    sweep = started(tmp_path, *SLOW, "--out", "stopped")
    wait_for_records(tmp_path / "stopped", 1)
    sweep.send_signal(number)
    _, err = sweep.communicate(timeout=5)
    assert sweep.returncode == code, err
    assert "finished runs are kept" in err
    assert "Traceback" not in err
    assert all_gone(sweep.pid, 5)


@pytest.mark.slow
def test_a_signal_in_a_destructor_ends_a_sweep_after_the_run(tmp_path: Path) -> None:
    """Python swallows what a destructor raises; the sweep ends all the same, after one record."""
    command = [sys.executable, "-c", SIGNAL_IN_A_DESTRUCTOR, "sweep", *TINY, "--out", "stopped"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 143, answer.stderr
    assert "finished runs are kept" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert len(Store(tmp_path / "stopped").statuses()) == 1


@pytest.mark.slow
def test_the_tables_do_not_depend_on_the_number_of_workers(
    tmp_path: Path, tiny_results: Path
) -> None:
    """One worker or two: the same bytes."""
    answer = lossbench("sweep", *TINY, "--out", "one", "--workers", "1", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    for name in TABLES:
        assert (tmp_path / "one" / name).read_bytes() == (tiny_results / name).read_bytes()


@pytest.mark.slow
def test_a_larger_grid_extends_the_folder(tmp_path: Path) -> None:
    """Only the new runs are trained, and the frozen experiment has both grids."""
    small = [*TINY[:-1], "1"]
    assert lossbench("sweep", *small, "--out", "grown", folder=tmp_path).returncode == 0
    answer = lossbench("sweep", *TINY, "--out", "grown", folder=tmp_path)
    assert "4 runs, 2 done, 2 to train" in answer.stderr
    again = lossbench("sweep", "grown/experiment.toml", "--out", "grown", folder=tmp_path)
    assert again.returncode == 0
    assert "4 runs, 4 done" in again.stderr


@pytest.mark.slow
def test_a_run_that_diverges_is_recorded_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Status nan, empty metrics, exit 3; a second run keeps it, --retry-failed redoes it."""
    options = [
        *TINY,
        *("--reconstruction-loss", "mse", "--hidden", "linear", "--optimizer", "sgd"),
        *("--learning-rate", "0.5", "--beta", "1,1e9", "--out", "diverged"),
    ]
    answer = lossbench("sweep", *options, folder=tmp_path)
    assert answer.returncode == 3, answer.stderr
    runs = Store(tmp_path / "diverged").runs()
    failed = runs[runs["status"] == "nan"]
    assert set(runs["status"]) == {"ok", "nan"}
    assert failed[list(METRIC_COLUMNS)].isna().all(axis=None)
    assert runs[runs["status"] == "ok"]["elbo"].notna().all()
    answer = lossbench("sweep", *options, folder=tmp_path)
    assert answer.returncode == 3
    assert "to train" not in answer.stderr
    answer = lossbench("sweep", *options, "--retry-failed", folder=tmp_path)
    assert f"{len(failed)} to train" in answer.stderr
