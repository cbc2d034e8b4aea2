"""A condition that fails a comparison."""

import pytest
from made_runs import compared, ends_of, made_run, seeds_of

from lossbench.comparison import parse_gate
from lossbench.errors import ResultsError, UsageError


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("elbo", "as in 'elbo < -0.5'"),
        ("elbo = 1", "as in 'elbo < -0.5'"),
        ("elbo < much", "as in 'elbo < -0.5'"),
        ("elbo < nan", "as in 'elbo < -0.5'"),
        ("elbow < 1", "did you mean 'elbo'?"),
        ("beta_eff < 1", "no metric is called 'beta_eff'"),
    ],
)
def test_a_gate_that_is_none_is_refused(expression: str, told: str) -> None:
    """A wrong expression is a usage error that shows a right one or the nearest metric."""
    with pytest.raises(UsageError) as caught:
        parse_gate(expression)
    assert told in str(caught.value)


@pytest.mark.parametrize("spelling", ["elbo<-0.5", " elbo  <  -0.5 ", "elbo < -5e-1"])
def test_a_gate_may_be_spelt_with_or_without_spaces(spelling: str) -> None:
    """All spellings of one condition are one gate."""
    assert parse_gate(spelling) == parse_gate("elbo < -0.5")


def test_the_near_end_of_the_interval_trips_the_gate() -> None:
    """A gate trips only beyond the end of the interval that is nearest to its bound."""
    comparison = compared(seeds_of("docs"), seeds_of("docs", gain=-2, hidden="128"))
    low, high = ends_of(comparison.cells[0].metrics["elbo"])
    assert low < -2.04 < high < -1.9
    assert "elbo < -1.9 holds" in str(parse_gate("elbo < -1.9").tripped(comparison))
    assert parse_gate("elbo < -2").tripped(comparison) is None
    assert parse_gate(f"elbo < {high!r}").tripped(comparison) is None
    assert parse_gate(f"elbo <= {high!r}").tripped(comparison) is not None
    assert parse_gate("elbo > -2.1").tripped(comparison) is None
    assert parse_gate("elbo > -2.2").tripped(comparison) is not None


def test_the_difference_itself_counts_for_one_pair_and_for_collapse() -> None:
    """Where there is no interval the difference is all there is."""
    comparison = compared([made_run("docs")], [made_run("docs", gain=-1, hidden="128")])
    assert parse_gate("elbo < -0.5").tripped(comparison) is not None
    assert parse_gate("elbo < -1.5").tripped(comparison) is None
    collapse = compared(seeds_of("docs"), seeds_of("blog"))
    assert parse_gate("collapsed > 0").tripped(collapse) is not None


def test_one_cell_is_enough_to_trip_a_gate_and_is_named() -> None:
    """Of several cells the message names those that trip."""
    a = [run for k in (2, 8) for run in seeds_of("docs", k=k)]
    b = [run for k in (2, 8) for run in seeds_of("docs", k=k, gain=-(k == 8), hidden="128")]
    reason = str(parse_gate("elbo < -0.5").tripped(compared(a, b)))
    assert "at k 8" in reason
    assert "at k 2" not in reason


def test_a_gate_cannot_rest_on_what_is_not_comparable_or_not_known() -> None:
    """Neither passes in silence."""
    with pytest.raises(UsageError, match="not comparable"):
        parse_gate("elbo < 0").tripped(compared(seeds_of("docs"), seeds_of("docs", d=16)))
    unknown = compared(seeds_of("docs", elbo=None), seeds_of("blog", elbo=None))
    with pytest.raises(ResultsError, match="not known"):
        parse_gate("elbo < 0").tripped(unknown)


def test_a_gate_tells_the_difference_and_its_interval() -> None:
    """With the cell where there are several, a line each; of one pair there is no interval."""
    a = [run for k in (2, 8) for run in seeds_of("docs", k=k)]
    b = [run for k in (2, 8) for run in seeds_of("docs", k=k, gain=-2, hidden="128")]
    comparison = compared(a, b)
    first, second = str(parse_gate("elbo <= -0.5").tripped(comparison)).splitlines()
    low, high = ends_of(comparison.cells[0].metrics["elbo"])
    assert first == (
        f"elbo <= -0.5 holds at k 2: B minus A is -2.04 (95% interval {low:.6g} to {high:.6g})"
    )
    assert second.startswith("elbo <= -0.5 holds at k 8: ")
    single = compared([made_run("docs")], [made_run("docs", gain=-1, hidden="128")])
    assert parse_gate("elbo < -0.5").tripped(single) == (
        "elbo < -0.5 holds: B minus A is -1 (no interval)"
    )


@pytest.mark.parametrize(
    ("expression", "trips"),
    [
        ("elbo < -1", False),
        ("elbo <= -1", True),
        ("elbo > -1", False),
        ("elbo >= -1", True),
        ("elbo < 0", True),
        ("elbo > 0", False),
    ],
)
def test_each_comparison_means_what_it_says(expression: str, trips: bool) -> None:
    """On one pair whose difference is exactly -1."""
    sides = ([made_run("docs", elbo=-20.0)], [made_run("docs", elbo=-21.0, hidden="128")])
    assert (parse_gate(expression).tripped(compared(*sides)) is not None) == trips
