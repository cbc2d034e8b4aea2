"""``make all-results`` leaves committed tables alone where every run agrees with them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import lossbench

import restore
from agreement import agrees
from restore import restored_figures, restored_tables

OLD_RESULTS = Path(__file__).parent / "results-format-1"
EXPERIMENTS = Path(__file__).parent.parent / "experiments"
FIGURE = "figures/elbo.png"


def git(folder: Path, *arguments: str) -> str:
    """Return what git prints in a folder."""
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return answer.stdout


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a results folder of four runs that is committed but for its records."""
    folder = tmp_path / "results" / "small"
    shutil.copytree(OLD_RESULTS, folder)
    (folder / "figures").mkdir()
    (folder / FIGURE).write_bytes(b"drawn")
    (folder / "notes.csv").write_text("mine\n")
    (tmp_path / ".gitignore").write_text("runs\n.lock\ntimings.csv\n*.svg\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "results")
    return folder


def replaced(path: Path, pattern: str, by: str) -> None:
    """Replace what a pattern finds first in a file; it must find something."""
    text, n_found = re.subn(pattern, by, path.read_text(), count=1)
    assert n_found == 1
    path.write_text(text)


def changed(folder: Path) -> list[str]:
    """Return the files that git shows as changed or new."""
    lines = git(folder, "status", "--short", "-uall").splitlines()
    return [Path(line.split()[-1]).name for line in lines]


def other_digits(folder: Path) -> None:
    """Change the last digits in every table, as another processor does."""
    for name in ("runs.csv", "history.csv", "summary.csv"):
        replaced(folder / name, r"(-1\d\.\d{5})\d+", r"\g<1>7777")


def test_changed_last_digits_are_put_back(results: Path) -> None:
    """Every table of which each run agrees, and it is said in one line; after that, nothing."""
    other_digits(results)
    assert changed(results) == ["history.csv", "runs.csv", "summary.csv"]
    command = [sys.executable, restore.__file__, "tables", results]
    for told in (
        f"{results}: every run agrees with the committed tables, which are put back\n",
        "",
    ):
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        assert (answer.stdout, answer.stderr) == (told, "")
        assert changed(results) == []


def test_an_interrupted_restoring_is_finished(results: Path) -> None:
    """One table that is back already does not keep the others from it."""
    other_digits(results)
    git(results, "checkout", "runs.csv")
    assert "put back" in restored_tables(results)
    assert changed(results) == []


def test_what_a_user_wrote_is_not_touched(results: Path) -> None:
    """A file that lossbench does not write stays as it is, beside tables that are put back."""
    other_digits(results)
    (results / "notes.csv").write_text("mine, too\n")
    assert "put back" in restored_tables(results)
    assert changed(results) == ["notes.csv"]


@pytest.mark.parametrize(
    ("pattern", "by"),
    [
        (",ok,-11.16278", ",ok,-11.56278"),
        (",10.984155315823026,0.1786", ",10.984155315823026,0.2886"),
        (",2,false,", ",2,true,"),
        (",ok,-11.16278", ",nan,-11.16278"),
    ],
)
def test_a_run_that_differs_is_named_and_every_new_table_stays(
    results: Path, pattern: str, by: str
) -> None:
    """Another ELBO, KL, collapse or end is told, and nothing is written."""
    other_digits(results)
    replaced(results / "runs.csv", re.escape(pattern), by)
    tables = {path.name: path.read_bytes() for path in results.glob("*.csv")}
    assert restored_tables(results) == (
        "not as committed: blog-bce-beta1-d16-k2-seed0-948d82ae04; the new tables stay"
    )
    assert {path.name: path.read_bytes() for path in results.glob("*.csv")} == tables


def test_an_added_run_is_not_lost(results: Path) -> None:
    """A table that has more runs, or fewer, stays, also where the experiment is the same."""
    first = (results / "runs.csv").read_text()
    last = first.splitlines()[-1]
    for text in (
        first + last.replace("-seed1-", "-seed2-") + "\n",
        "".join(f"{line}\n" for line in first.splitlines()[:-1]),
    ):
        (results / "runs.csv").write_text(text)
        assert "the new tables stay" in restored_tables(results)
        assert (results / "runs.csv").read_text() == text


@pytest.mark.slow
def test_a_sweep_that_was_extended_is_not_lost(results: Path) -> None:
    """A grid of one's own that grew in a committed folder has an experiment of its own."""
    command = ("sweep", str(results / "experiment.toml"), "--out", str(results), "--seeds", "3")
    answer = lossbench(*command, folder=results)
    assert answer.returncode == 0, answer.stderr
    runs = (results / "runs.csv").read_text()
    assert "experiment.toml is not the committed one" in restored_tables(results)
    assert (results / "runs.csv").read_text() == runs


def test_new_columns_stay_beside_the_committed_cells(results: Path) -> None:
    """A newer lossbench adds columns and keys; every cell that was committed is put back."""
    before = pd.read_csv(results / "summary.csv", dtype=str)
    other_digits(results)
    table = pd.read_csv(results / "summary.csv", dtype=str)
    table.insert(3, "more", "1.5")
    table.to_csv(results / "summary.csv", index=False)
    replaced(results / "experiment.toml", "(?m)^hidden", 'network = "dense"\nhidden')
    assert "put beside the new columns" in restored_tables(results)
    assert changed(results) == ["experiment.toml", "summary.csv"]
    after = pd.read_csv(results / "summary.csv", dtype=str)
    assert set(after.pop("more")) == {"1.5"}
    assert after.equals(before)


def test_tables_that_lack_a_column_stay(results: Path) -> None:
    """There is no place for a committed cell."""
    replaced(results / "summary.csv", "elbo", "more")
    assert "summary.csv has other columns" in restored_tables(results)
    assert changed(results) == ["summary.csv"]


@pytest.mark.parametrize("missing", ["git", "repository", "commit"])
def test_without_a_commit_nothing_happens(
    results: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to hold the tables against, and nothing to put back."""
    other_digits(results)
    if missing != "git":
        shutil.rmtree(results.parent.parent / ".git")
    if missing == "commit":
        git(results.parent.parent, "init", "--quiet")
        git(results.parent.parent, "add", ".")
    tables = {path.name: path.read_bytes() for path in results.glob("*.csv")}
    if missing == "git":
        monkeypatch.setenv("PATH", "")
    assert restored_tables(results) == ""
    assert {path.name: path.read_bytes() for path in results.glob("*.csv")} == tables


def test_figures_of_the_committed_tables_are_put_back(results: Path) -> None:
    """Those that the report drew, as PNG and as SVG; where the tables are others, none."""
    (results / FIGURE).write_bytes(b"drawn anew")
    assert restored_figures(results) == ""
    (results / FIGURE).with_suffix(".svg").touch()
    other_digits(results)
    assert restored_figures(results) == ""
    assert (results / FIGURE).read_bytes() == b"drawn anew"
    restored_tables(results)
    assert FIGURE in restored_figures(results)
    assert changed(results) == []


def test_a_failed_run_agrees_with_one_that_failed_alike() -> None:
    """It has no numbers to hold against each other."""
    nan = {"status": "nan", "elbo": float("nan"), "kl": float("nan"), "collapsed": None}
    assert agrees(nan, dict(nan))
    assert not agrees(nan, nan | {"status": "timeout"})


@pytest.mark.parametrize("experiment", sorted(EXPERIMENTS.glob("*.toml")), ids=str)
def test_an_experiment_says_which_target_runs_it_and_for_how_long(experiment: Path) -> None:
    """The Makefile reads the first line, prints the time, and runs it in that target."""
    first = experiment.read_text(encoding="utf-8").splitlines()[0]
    assert re.fullmatch(r"# (all|more)-results: \d+ minutes?", first)
