"""How the runs of two selections pair."""

import itertools

import pytest
from made_runs import compared, made_run, printed, seeds_of

from lossbench.errors import ResultsError, UsageError


def test_selections_pair_by_seed_and_by_what_varies() -> None:
    """Pairs agree in beta, k and seed; they are grouped by cell, and differ in the loss alone."""
    grid = list(itertools.product((0.5, 1.0), (2, 8), range(3)))
    a, b = ([made_run(loss, beta, s, k=k) for beta, k, s in grid] for loss in ("blog", "docs"))
    comparison = compared(a, reversed(b))
    assert comparison.differing == {"loss": ("blog", "docs")}
    assert comparison.paired_by == ("beta", "k", "seed")
    assert len(comparison.cells) == 4
    for cell in comparison.cells:
        assert set(cell.settings) == {"beta", "k"}
        assert [pair.seed for pair in cell.pairs] == [0, 1, 2]
        for pair in cell.pairs:
            assert pair.run_a.split("-")[1:-1] == pair.run_b.split("-")[1:-1]
    assert (comparison.unpaired_a, comparison.unpaired_b) == ((), ())


def test_a_grid_in_beta_eff_pairs_by_beta_eff() -> None:
    """Where the betas differ but beta_eff is shared, it is beta_eff that pairs."""
    a = [made_run("blog", beta_eff / 32, s) for beta_eff in (0.5, 1, 3) for s in range(2)]
    b = [made_run("docs", beta_eff, s) for beta_eff in (0.5, 1, 3) for s in range(2)]
    comparison = compared(a, b)
    assert comparison.paired_by == ("beta_eff", "seed")
    assert [cell.settings for cell in comparison.cells] == [
        {"beta_eff": 0.5},
        {"beta_eff": 1.0},
        {"beta_eff": 3.0},
    ]
    assert comparison.algebra.startswith("The same objective up to a factor of 64: ")


def test_one_beta_eff_over_many_sizes_pairs_by_beta_eff() -> None:
    """At one beta_eff the blog's beta follows d and k, the documentation's does not."""
    sizes = list(itertools.product((16, 64), (2, 8)))
    a = [made_run("blog", k / d, d=d, k=k) for d, k in sizes]
    comparison = compared(a, [made_run("docs", 1, d=d, k=k) for d, k in sizes])
    assert len(comparison.cells) == 4
    assert "The same objective up to a factor of 16 to 64" in comparison.algebra


def test_unpaired_and_failed_runs_are_listed() -> None:
    """What has no partner is named; a failed run is left out, counted and named."""
    a, b = seeds_of("blog", 4), seeds_of("docs", 3)
    b[0]["status"] = "crashed"
    comparison = compared(a, b)
    assert comparison.unpaired_a == (a[0]["run_id"], a[3]["run_id"])
    assert comparison.failed_b == (b[0]["run_id"],)
    assert "1 failed run of B is left out (crashed)." in comparison.notes
    assert str(a[3]["run_id"]) in printed(comparison)


def test_what_cannot_pair_names_the_column_to_fix() -> None:
    """Selections that vary in disjoint values are told which column to give one value."""
    a = [made_run("blog", beta, hidden=hidden) for beta in (0.5, 1) for hidden in ("32", "64")]
    with pytest.raises(UsageError, match="no run of A has a partner in B") as caught:
        compared(a, [made_run("docs", beta, hidden="128") for beta in (0.5, 1)])
    assert "hidden is 32, 64 in A and 128 in B" in caught.value.received
    assert "give `hidden` one value" in caught.value.remedy


def test_a_side_that_failed_altogether_is_an_error() -> None:
    """Nothing is compared with runs that all failed."""
    with pytest.raises(ResultsError, match="every run of B failed"):
        compared(seeds_of("blog"), [run | {"status": "nan"} for run in seeds_of("docs")])


def test_the_same_runs_are_no_comparison() -> None:
    """A selection against itself is a mistake, and is told so."""
    with pytest.raises(UsageError, match="the same runs"):
        compared(seeds_of("docs"), seeds_of("docs"))


def test_twins_that_cannot_be_told_apart_are_an_error() -> None:
    """Two runs of one side with equal settings and seed do not pair."""
    twin = made_run("blog") | {"run_id": "blog-of-other-data"}
    with pytest.raises(UsageError, match="two runs of A have the same settings"):
        compared([made_run("blog"), twin], [made_run("docs")])


def test_what_was_left_out_is_named_by_side_and_status() -> None:
    """Runs without a partner and failed runs of each side; several have another verb."""
    a, b = seeds_of("blog", 4), seeds_of("docs", 5)
    a[0]["status"], a[1]["status"], b[3]["status"] = "nan", "crashed", "timeout"
    comparison = compared(a, b)
    assert comparison.failed_a == (a[0]["run_id"], a[1]["run_id"])
    assert comparison.failed_b == (b[3]["run_id"],)
    assert comparison.unpaired_a == (a[3]["run_id"],)
    assert comparison.unpaired_b == tuple(b[seed]["run_id"] for seed in (0, 1, 4))
    assert [pair.seed for pair in comparison.cells[0].pairs] == [2]
    assert comparison.notes[1:] == (
        "2 failed runs of A are left out (crashed, nan).",
        "1 failed run of B is left out (timeout).",
    )


def test_notes_say_what_a_reader_would_not_expect() -> None:
    """Grey pixels, differing seeds, and beta_eff in the place of beta; nothing else."""
    grey = (
        "Cross-entropy on grey pixels is not a likelihood: a bce ELBO ranks runs with each other "
        "and nothing else."
    )
    assert compared(seeds_of("docs"), seeds_of("blog")).notes == (grey,)
    both = ([made_run(loss, kind=kind) for kind in ("mse", "bce")] for loss in ("docs", "blog"))
    assert compared(*both).notes == (grey,)
    mse = [made_run("docs", kind="mse", seed=seed) for seed in (0, 1)]
    assert compared(mse[:1], mse[1:]).notes == (
        "The seeds differ, so the difference holds the difference of seeds as well.",
    )
    a = [made_run("blog", beta_eff / 32, kind="mse") for beta_eff in (0.5, 1)]
    b = [made_run("docs", beta_eff, kind="mse") for beta_eff in (0.5, 1)]
    assert compared(a, b).notes == ("Paired by beta_eff, which more runs share than beta.",)


def test_beta_pairs_where_it_pairs_as_many() -> None:
    """Over equal betas runs pair by beta, though some share a beta_eff too."""
    a, b = ([made_run(loss, beta) for beta in (1 / 32, 1.0)] for loss in ("blog", "docs"))
    comparison = compared(a, b)
    assert comparison.paired_by == ("beta",)
    assert [cell.settings for cell in comparison.cells] == [{"beta": 0.03125}, {"beta": 1.0}]
    assert "Paired by beta_eff" not in " ".join(comparison.notes)


def test_what_all_runs_share_is_common_and_what_differs_is_told() -> None:
    """A setting that is not known is common where neither side knows it."""
    comparison = compared([made_run("docs", 1.0)], [made_run("blog", 2.0, k=8)])
    assert comparison.differing == {"loss": ("docs", "blog"), "beta": (1.0, 2.0), "k": (2, 8)}
    assert comparison.common["d"] == 64
    assert comparison.common["iwae_samples"] is None
    assert comparison.common["seed"] == 0
    assert not set(comparison.common) & set(comparison.differing)
