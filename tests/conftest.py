"""What several test rooms need: one tiny finished sweep, made once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# TensorFlow writes to stderr at import even so; the tests of the terminal contract say what may.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

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
