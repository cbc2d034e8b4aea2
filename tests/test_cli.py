"""The command line: bad input is told in full and harms nothing."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lossbench import __version__
from lossbench.cli import main
from lossbench.cli.app import app

GRID = ("--d", "16", "--k", "2", "--epochs", "2", "--beta", "1", "--seeds", "1")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run one command in this process; return its exit code, stdout and stderr."""
    sys.argv = ["lossbench", *arguments]
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, *capsys.readouterr()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    return tmp_path


def write(name: str, text: str) -> str:
    """Write a file into the current folder and return its name."""
    Path(name).write_text(text, encoding="utf-8")
    return name


BAD_FILES = {
    "unknown key": (
        "[training]\nepochs = 3\nlerning_rate = 0.1\n",
        ["line 3", "learning_rate"],
    ),
    "unknown section": ("[modle]\nhidden = [4]\n", ["line 1", "model"]),
    "unknown loss": ('[sweep]\nk = 2\nloss = ["bloog"]\n', ["line 3", "'blog'"]),
    "empty grid": ("[sweep]\nbeta = []\n", ["line 2", "empty"]),
    "negative beta": ("[sweep]\nbeta = [1, -0.5]\n", ["line 2", "-0.5", "at least 0"]),
    "not TOML": ("[sweep]\nbeta = [1,\nk == 2\n", ["line", "not TOML"]),
    "both weights": ("[sweep]\nbeta = 1\nbeta_eff = 1\n", ["line 3", "contradict"]),
    "wrong section": ("[sweep]\n[model]\nepochs = 3\n", ["line 3", "[training]"]),
    "list outside the grid": ("[training]\nepochs = [1, 2]\n", ["line 2", "[sweep]"]),
    "text for a number": ('[training]\nepochs = "3"\n', ["line 2", "whole number"]),
    "unknown dataset": ('[data]\ndataset = "digit"\n', ["'digits'"]),
    "impossible d": ("[sweep]\nd = [15]\n", ["d = 15", "64 or 16 or 4 or 1"]),
    "batch too large": ("[training]\nbatch_size = 100000\n", ["1437", "100000"]),
    "missing data": ('[data]\ndataset = "none.npz"\n', ["none.npz"]),
}


@pytest.mark.parametrize(("text", "told"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_experiment_is_told_in_full_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], folder: Path, text: str, told: list[str]
) -> None:
    """Exit 2, one screen, the place and the remedy, no results folder."""
    code, out, err = run(capsys, "sweep", write("bad.toml", text))
    assert code == 2
    assert out == ""
    assert all(words in err for words in told), err
    assert "Traceback" not in err
    assert len(err.splitlines()) < 12
    assert [path.name for path in folder.iterdir()] == ["bad.toml"]


BAD_ARRAYS = {
    "NaN": (np.array([[0.1, np.nan]] * 9), "finite"),
    "constant": (np.full((9, 4), 0.5), "same"),
    "outside": (np.linspace(-1, 2, 36).reshape(9, 4), "[0, 1]"),
    "one image": (np.random.default_rng(0).random(4), "shape"),
}


@pytest.mark.parametrize(("array", "told"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_unfit_data_is_told_before_anything_is_trained(
    capsys: pytest.CaptureFixture[str], folder: Path, array: np.ndarray, told: str
) -> None:
    """The file and what is wrong with its numbers."""
    np.save("mine.npy", array)
    code, _, err = run(capsys, "sweep", "--dataset", "mine.npy")
    assert code == 2
    assert "mine.npy" in err
    assert told in err
    assert [path.name for path in folder.iterdir()] == ["mine.npy"]


BAD_OPTIONS = {
    "unknown loss": (("--loss", "dogs"), ["--loss", "'docs'"]),
    "negative beta": (("--beta=-1",), ["--beta", "at least 0"]),
    "empty axis": (("--k", ","), ["--k", "empty"]),
    "both weights": (("--beta", "1", "--beta-eff", "1"), ["contradict"]),
    "no seeds": (("--seeds", "0"), ["--seeds", "at least 1"]),
    "layers": (("--hidden", "64y3"), ["--hidden"]),
}


@pytest.mark.parametrize(("options", "told"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_a_bad_option_is_named(
    capsys: pytest.CaptureFixture[str], folder: Path, options: tuple[str, ...], told: list[str]
) -> None:
    """Exit 2 and the option's name."""
    code, _, err = run(capsys, "sweep", *options)
    assert code == 2
    assert all(words in err for words in told), err
    assert list(folder.iterdir()) == []


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    """How many runs, how many are done, how many stacks, what varies."""
    code, out, err = run(capsys, "sweep", "--dry-run")
    assert (code, out) == (0, "")
    assert "240 runs, 0 done, 240 to train in 32 stacks" in err
    assert "beta: 0.01, 0.1, 0.5, 1 and 4" in err
    assert list(folder.iterdir()) == []


def test_a_finished_sweep_trains_nothing(
    capsys: pytest.CaptureFixture[str], drilled_results: Path
) -> None:
    """The same command again finds everything done and changes no byte."""
    before = {path: path.read_bytes() for path in drilled_results.rglob("*.csv")}
    frozen = drilled_results / "experiment.toml"
    code, out, err = run(capsys, "sweep", str(frozen), "--out", str(drilled_results))
    assert code == 0
    assert "4 runs, 4 done" in err
    assert "to train" not in err
    assert "blog" in out
    assert {path: path.read_bytes() for path in drilled_results.rglob("*.csv")} == before


def test_another_experiment_is_refused_with_a_folder_to_use(
    capsys: pytest.CaptureFixture[str], drilled_results: Path
) -> None:
    """What differs is named, and nothing is lost."""
    code, _, err = run(capsys, "sweep", "--epochs", "7", "--out", str(drilled_results))
    assert code == 2
    assert "epochs = 2" in err
    assert "epochs = 7" in err
    assert f"--out {drilled_results}-2" in err


def test_show_and_json_tell_the_same(
    capsys: pytest.CaptureFixture[str], drilled_results: Path
) -> None:
    """The table is on stdout; --json has every number in full."""
    code, out, _ = run(capsys, "show", str(drilled_results))
    assert code == 0
    assert "beta_eff" in out
    code, out, _ = run(capsys, "show", str(drilled_results), "--json")
    settings = json.loads(out)["settings"]
    assert {row["loss"]: row["beta_eff"] for row in settings} == {"blog": 8.0, "docs": 1.0}
    assert all(row["n_seeds"] == 2 for row in settings)


def test_compare_tells_the_algebra_and_the_gate_exits_with_4(
    capsys: pytest.CaptureFixture[str], drilled_results: Path
) -> None:
    """beta_eff 1 against 8, and a gate that trips only if it holds."""
    sides = (f"{drilled_results}:loss=docs", f"{drilled_results}:loss=blog")
    code, out, _ = run(capsys, "compare", *sides)
    assert code == 0
    assert "beta_eff 1 against 8" in out
    code, out, _ = run(capsys, "compare", *sides, "--json", "--fail-if", "objective < 0")
    assert code == 2
    code, out, _ = run(capsys, "compare", *sides, "--fail-if", "kl > 1000")
    assert code == 0
    seeds = (f"{drilled_results}:loss=docs,seed=0", f"{drilled_results}:loss=docs,seed=1")
    code, _, err = run(capsys, "compare", *seeds, "--fail-if", "elbo < 1000")
    assert code == 4
    assert "elbo" in err


def test_a_run_id_that_matches_none_or_several_lists_candidates(
    capsys: pytest.CaptureFixture[str], drilled_results: Path
) -> None:
    """Exit 2 and the names to choose from."""
    code, _, err = run(
        capsys, "compare", f"{drilled_results}:loss=blog", f"{drilled_results}:loss=dcs"
    )
    assert code == 2
    assert "docs" in err


def test_init_writes_a_file_that_sweep_accepts(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    """The commented file is an experiment, and an existing one is not overwritten."""
    code, _, err = run(capsys, "init", "mine")
    assert (code, [path.name for path in folder.iterdir()]) == (0, ["mine.toml"])
    assert "lossbench sweep mine.toml" in err
    code, _, err = run(capsys, "sweep", "mine.toml", "--dry-run")
    assert code == 0
    assert "6 runs" in err
    assert run(capsys, "init", "mine")[0] == 2


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stdout."""
    assert run(capsys, "--version")[:2] == (0, f"lossbench {__version__}\n")


@pytest.mark.parametrize("command", [str(command.name) for command in app.registered_commands])
def test_every_command_has_help_with_an_example(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """The docstring is the help, which shows the command at work; the program lists it."""
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert re.search(rf"^\W*{command} ", out, re.MULTILINE)
    code, text, _ = run(capsys, command, "--help")
    assert code == 0
    assert re.search(rf"Examples?:.*lossbench {command} ", text, re.DOTALL)


INTERRUPTED_IN_A_ZIP = """
import io, signal, zipfile
from lossbench.cli import app, main

def interrupted():
    with zipfile.ZipFile(io.BytesIO(), "w") as archive:
        unfinished = archive.open("member", "w")
        signal.raise_signal(signal.SIGTERM)

app.app = interrupted
main()
"""


def test_an_interruption_is_one_also_where_a_library_makes_its_own_error_of_it() -> None:
    """Closing a half-written archive raises ``ValueError`` over the interruption."""
    answer = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN_A_ZIP], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr.strip()) == (143, "stopping")


INTERRUPTED_IN_A_COMPARISON = """
import signal
import numpy as np
from lossbench.cli import app, main

class Interrupting:
    def __repr__(self):
        signal.raise_signal(signal.SIGTERM)

app.app = lambda: np.dtype("float64") == Interrupting()
main()
"""


def test_an_interruption_is_one_also_where_a_library_swallows_it() -> None:
    """NumPy clears whatever is raised while it asks whether something is a dtype."""
    answer = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN_A_COMPARISON],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stderr.strip()) == (143, "stopping")
