"""Which runs a selection means."""

import itertools
from pathlib import Path

import pytest
from made_runs import made_run, write_runs

from lossbench.comparison import compare, select
from lossbench.errors import ResultsError, UsageError


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two results folders: a grid on digits, and one run with two hidden layers."""
    grid = itertools.product(("blog", "docs"), (0.5, 1.0), range(2))
    write_runs(tmp_path / "grid", [made_run(loss, beta, seed) for loss, beta, seed in grid])
    deep = made_run("docs", 4.0, 7, hidden="64x64")
    write_runs(tmp_path / "deep", [deep | {"run_id": "docs-bce-beta4-d64-k2-seed7-deep567890"}])
    return tmp_path


# Selection


@pytest.mark.parametrize(
    ("selection", "n_runs"),
    [
        ("loss=blog", 4),
        ("loss=blog,beta=1", 2),
        ("loss=blog,beta=1e0", 2),
        ("beta=0.5,1", 8),
        ("beta=1.0, seed=0", 2),
        ("hidden=64x64", 1),
        ("collapsed=true,seed=0", 2),
        ("beta_eff=32", 2),
        ("status=ok", 9),
    ],
)
def test_a_selection_compares_numbers_as_numbers(
    results: Path, selection: str, n_runs: int
) -> None:
    """Every spelling of a value finds the same runs, in every folder under results."""
    assert len(select(selection, results)) == n_runs


def test_a_folder_narrows_a_selection(results: Path) -> None:
    """A folder is a path or a name under results, before a colon."""
    assert len(select(f"{results}/grid:loss=docs", Path("nowhere"))) == 4
    assert len(select("grid:loss=docs", results)) == 4
    assert set(select("loss=docs", results)["folder"]) == {f"{results}/grid", f"{results}/deep"}


def test_a_run_is_named_by_id_prefix_or_path(results: Path) -> None:
    """The whole id, a unique prefix and every path lead to the same run."""
    run_id = "docs-bce-beta4-d64-k2-seed7-deep567890"
    names = (
        run_id,
        "docs-bce-beta4",
        f"{results}/deep/runs/{run_id}.json",
        f"{results}/deep/{run_id}",
        f"{results}/deep/runs/{run_id}",
        f"{results}/deep/docs",
        f"deep:{run_id[:8]}",
        f"{results}/deep",
    )
    assert [list(select(name, results)["run_id"]) for name in names] == [[run_id]] * len(names)


def test_an_id_that_starts_another_id_is_meant_itself(tmp_path: Path) -> None:
    """A whole id wins over the longer ids that start with it."""
    write_runs(
        tmp_path, [made_run() | {"run_id": "docs-1"}, made_run(seed=1) | {"run_id": "docs-10"}]
    )
    assert list(select("docs-1", tmp_path)["run_id"]) == ["docs-1"]


def test_an_ambiguous_prefix_lists_its_candidates(results: Path) -> None:
    """The error counts the runs, names eight at most and says how to be specific."""
    with pytest.raises(UsageError, match="4 runs start with 'blog-bce'") as caught:
        select("blog-bce", results)
    assert "blog-bce-beta0.5-d64-k2-seed0" in str(caught.value)
    assert "add letters" in caught.value.remedy


def test_an_unknown_id_names_the_nearest(results: Path) -> None:
    """A typo in an id is answered with ids that exist."""
    with pytest.raises(UsageError, match="no run is called") as caught:
        select("bloog-bce-beta1-d64-k2-seed1", results)
    assert "'blog-bce-beta1-d64-k2-seed1'" in caught.value.remedy


@pytest.mark.parametrize(
    ("selection", "told"),
    [
        ("los=blog", "did you mean 'loss'"),
        ("loss=bloog", "did you mean 'blog'"),
        ("loss=bloog", "loss is blog, docs there"),
        ("beta=7", "beta is 0.5, 1, 4 there"),
        ("beta=one", "received: 'one'"),
        ("loss=blog,beta=4", "no run with loss=blog has beta=4"),
        ("blog,beta=4", "no column is called 'blog'"),
        ("", "has no name"),
    ],
)
def test_a_wrong_selection_is_told_what_there_is(results: Path, selection: str, told: str) -> None:
    """The error names the nearest column, or the values that the column has."""
    with pytest.raises(UsageError) as caught:
        select(selection, results)
    assert told in str(caught.value)


def test_no_results_are_an_error(tmp_path: Path) -> None:
    """A folder without runs.csv is named, and so is what to do."""
    with pytest.raises(ResultsError, match="no results here"):
        select("loss=blog", tmp_path)
    with pytest.raises(ResultsError, match="no results here"):
        select(f"{tmp_path}/gone:loss=blog")
    with pytest.raises(ResultsError, match="no runs here"):
        select(f"{write_runs(tmp_path / 'empty', [])}:loss=blog")


def test_a_run_in_two_folders_counts_once(tmp_path: Path) -> None:
    """A copied folder changes nothing, but two different results for one run are an error."""
    write_runs(tmp_path / "one", [made_run()])
    write_runs(tmp_path / "two", [made_run()])
    assert len(select("loss=docs", tmp_path)) == 1
    write_runs(tmp_path / "two", [made_run(gain=1)])
    with pytest.raises(UsageError, match="different results in 2 folders"):
        select("loss=docs", tmp_path)
    comparison = compare(select("one:loss=docs", tmp_path), select("two:loss=docs", tmp_path))
    assert comparison.cells[0].metrics["elbo"].difference == pytest.approx(1)
    assert "Exactly the same objective" in comparison.algebra
