"""What several test rooms need: a tiny finished sweep, fixtures; the figures of a soak."""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from asked import Write
from drill import train_here
from image_files import script
from in_process import in_this_process
from numpy.typing import NDArray

from lossbench.cli import main
from lossbench.data import load
from lossbench.store import Store

__all__ = ["in_this_process"]  # a fixture

# TensorFlow writes to stderr at import even so; the tests of the terminal contract say what may.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# In the background or under nohup the tests, and the sweeps that they start, would be deaf to them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Losses and models as users write them, each for a process of its own.
collect_ignore = ["audited", "measured"]

TINY = (
    *("--dataset", "digits", "--d", "16", "--k", "2", "--hidden", "8", "--epochs", "2"),
    *("--loss", "blog,docs", "--reconstruction-loss", "bce", "--beta", "1", "--seeds", "2"),
)


def lossbench(
    *arguments: str, folder: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line in ``folder``, as a user would off a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "lossbench", *arguments],
        cwd=folder,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="session")
def tiny_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results folder of a sweep of four tiny runs."""
    folder = tmp_path_factory.mktemp("sweep") / "tiny"
    answer = lossbench("sweep", *TINY, "--out", str(folder), folder=folder.parent)
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture(scope="session")
def drilled_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results folder of the same sweep with the drill's training, made in no time."""
    folder = tmp_path_factory.mktemp("drilled") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        train_here(patch)
        patch.setattr(sys, "argv", ["lossbench", "sweep", *TINY, "--out", str(folder)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
    return folder


@pytest.fixture
def nothing_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """See no folder of the machine's, and let no download succeed."""
    monkeypatch.delenv("LOSSBENCH_DATA_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("LOSSBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "executable", script(tmp_path / "offline", "echo offline >&2; exit 1"))


@pytest.fixture(scope="session")
def split() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the digits at 4x4 pixels, training and test."""
    data = load("digits", 16)
    return data.train, data.test


@pytest.fixture(scope="session")
def images(split: tuple[NDArray[np.float32], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the first hundred training digits at 4x4 pixels."""
    return split[0][:100]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes an experiment file and returns its path."""

    def written(text: str) -> Path:
        path = tmp_path / "asked.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return a locked store in an empty folder."""
    store = Store(tmp_path / "results" / "tiny")
    with store.locked(pytest.fail):
        yield store


# `make soak` runs the drills that keep the promises at full length, and notes their figures.

SOAK = "LOSSBENCH_SOAK" in os.environ
_FIGURES = Path(__file__).parent.parent / "results" / "reliability.csv"
_COLUMNS = ("promise", "trials", "held", "figure", "note")
_noted: dict[str, dict[str, object]] = {}


def trials(quick: int, long: int) -> int:
    """Return how often a drill is done: a few times in `make test`, often in `make soak`."""
    return long if SOAK else quick


Note = Callable[..., None]


@pytest.fixture
def note() -> Note:
    """Return what notes a promise: how often it was put to the test, how often it held."""

    def noted(promise: str, n_trials: int, n_held: int, figure: str, remark: str = "") -> None:
        row = (promise, n_trials, n_held, figure, remark)
        _noted[promise] = dict(zip(_COLUMNS, row, strict=True))

    return noted


def unkept(**promises: bool) -> list[str]:
    """Return the names of the promises that did not hold."""
    return [name for name, held in promises.items() if not held]


def pytest_sessionfinish() -> None:
    """Write the figures of a soak; those of drills that did not run this time stay."""
    if not (SOAK and _noted):
        return
    rows = {}
    if _FIGURES.exists():
        with _FIGURES.open(newline="", encoding="utf-8") as file:
            rows = {row["promise"]: row for row in csv.DictReader(file)}
    with _FIGURES.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows((rows | _noted)[name] for name in sorted(rows | _noted))
