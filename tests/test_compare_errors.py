"""What cannot be compared is told in full: problem, place, rule, what was received, remedy."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import compared, made_run, seeds_of, write_runs
from syrupy.assertion import SnapshotAssertion

from lossbench.comparison import parse_gate, select
from lossbench.errors import ResultsError, UsageError

FAILED = {"status": "nan"}
CROSSED = [[("blog", 0.5, 0), ("blog", 1, 1)], [("docs", 0.5, 1), ("docs", 1, 0)]]
TWINS = [made_run("blog"), made_run("blog") | {"run_id": "blog-of-other-data"}]
GRID = [made_run("blog", b, hidden=hidden) for b in (0.5, 1) for hidden in ("32", "64")]
COMPARISONS: dict[str, Callable[[], object]] = {
    "a column in which nothing agrees": lambda: compared(
        GRID, [made_run("docs", beta, hidden="128") for beta in (0.5, 1)]
    ),
    "no column to blame": lambda: compared(*([made_run(*run) for run in side] for side in CROSSED)),
    "A failed": lambda: compared([r | FAILED for r in seeds_of("docs", 10)], seeds_of("blog")),
    "B failed": lambda: compared(seeds_of("blog"), [r | FAILED for r in seeds_of("docs")]),
    "the same runs": lambda: compared(seeds_of("docs", 5), seeds_of("docs", 5)),
    "twins in A": lambda: compared(TWINS, [made_run("docs")]),
    "twins in B": lambda: compared([made_run("docs")], TWINS),
    "no gate": lambda: parse_gate("elbo = 1"),
    "not comparable": lambda: parse_gate("elbo < 0").tripped(
        compared(seeds_of("docs"), seeds_of("docs", d=16))
    ),
    "not known": lambda: parse_gate("elbo < 0").tripped(
        compared(seeds_of("docs", elbo=None), seeds_of("blog", elbo=None))
    ),
}


@pytest.mark.parametrize("asked", COMPARISONS.values(), ids=COMPARISONS)
def test_a_comparison_that_cannot_be_made_says_why(
    asked: Callable[[], object], snapshot: SnapshotAssertion
) -> None:
    """The message is a part of the interface: nobody changes a word of it unseen."""
    with pytest.raises(UsageError) as caught:
        asked()
    assert str(caught.value) == snapshot


def test_a_side_of_which_one_run_is_well_has_not_failed() -> None:
    """Failed runs beside one that ended well are left out, not the side."""
    a = [made_run(seed=0), made_run(seed=1) | FAILED]
    assert len(compared(a, seeds_of("blog", 2)).cells[0].pairs) == 1


@pytest.mark.parametrize(
    "selection",
    [
        "",
        "blog-bce",
        "same",
        "bloog-bce-beta1-d64-k2-seed1",
        "qqqqqqqqqqqqqqq",
        "los=blog",
        "loss=bloog",
        "beta=7",
        "beta=one",
        "loss=blog,beta=4",
        "loss=blog,beta=0.5,1,seed=9",
        "collapsed=maybe",
        "implied_sigma=1",
        "empty:loss=blog",
        "gone:loss=blog",
        "loss=docs,d=16",
    ],
)
def test_a_selection_that_means_nothing_says_what_there_is(
    selection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    """Columns, values, ids and folders that exist are named, eight at most."""
    monkeypatch.chdir(tmp_path)
    results, grid = Path("results"), itertools.product(("blog", "docs"), (0.5, 1.0), range(2))
    write_runs(results / "grid", [made_run(*of_run) for of_run in grid])
    write_runs(results / "many", [made_run(run_id=f"same-{n:02}", seed=n) for n in range(11)])
    write_runs(results / "one", [made_run(d=16)])
    write_runs(results / "two", [made_run(d=16, gain=1)])
    write_runs(results / "empty", [])
    with pytest.raises(UsageError) as caught:
        select(selection)
    assert str(caught.value) == snapshot


def test_a_column_unlike_any_other_is_answered_with_all_of_them(tmp_path: Path) -> None:
    """Where nothing is near, every column is named; a metric likewise for a gate."""
    write_runs(tmp_path / "one", [made_run()])
    with pytest.raises(UsageError) as caught:
        select("zz9=3", tmp_path)
    assert caught.value.remedy.startswith("one of run_id, dataset, loss, ")
    with pytest.raises(UsageError) as caught:
        parse_gate("zz9 < 1")
    assert caught.value.where == "--fail-if"
    assert caught.value.expected.startswith("one of elbo, reconstruction, kl, ")
    assert (caught.value.received, caught.value.remedy) == ("'zz9 < 1'", "")


def test_what_cannot_be_known_is_a_fault_of_the_results() -> None:
    """A failed side and an unknown metric are told apart from a wrong question."""
    for name in ("A failed", "B failed", "not known"):
        with pytest.raises(ResultsError):
            COMPARISONS[name]()


def test_empty_folders_are_all_named(tmp_path: Path) -> None:
    """Where no folder has a run, each that was looked through is told."""
    for name in ("one", "two"):
        write_runs(tmp_path / name, [])
    with pytest.raises(ResultsError, match="no runs here") as caught:
        select("loss=docs", tmp_path)
    assert caught.value.where == f"{tmp_path / 'one'}, {tmp_path / 'two'}"
