"""The verdict, word for word, from differences written out by hand."""

from collections.abc import Collection

import pytest

from lossbench.comparison.difference import MetricDifference, Outcome, outcome, verdict

SIGMA_HALF, BEST_SIGMA = "Under a Gaussian decoder with sigma^2 = 1/2", "With each run's best sigma"


def between(
    low: float, high: float, p: float | None = 0.01, p_holm: float | None = None, n: int = 3
) -> MetricDifference:
    """Return a difference in ELBO with this interval; Holm leaves its p alone unless told."""
    adjusted = p if p_holm is None else p_holm
    difference = (low + high) / 2
    return MetricDifference(
        "elbo", "nats", True, n, -25.0, -25.0 + difference, difference, low, high, p, adjusted
    )


def on_one_pair(difference: float) -> MetricDifference:
    """Return a difference in ELBO that has no interval."""
    return MetricDifference("elbo", "nats", True, 1, -25.0, -25.0 + difference, difference)


NOT_KNOWN = MetricDifference("elbo", "nats", True, 0, None, None)
NOT_COMPARABLE = MetricDifference("elbo", "nats", False, 3, -25.0, -9.0)


def collapsed(a: float | None, b: float | None, n: int) -> MetricDifference:
    """Return the shares of the runs of A and of B that collapsed."""
    return MetricDifference("collapsed", "", True, n, a, b)


def told(
    *elbos: MetricDifference,
    kind: str = "bce",
    best: MetricDifference | None = None,
    shares: tuple[float | None, float | None] = (0.0, 0.0),
    compared: Collection[str] = (),
) -> tuple[str, ...]:
    """Return the verdict on cells with these ELBOs."""
    cells = [
        (kind, {"elbo": e, "elbo_best_sigma": best or e, "collapsed": collapsed(*shares, e.n)})
        for e in elbos
    ]
    return verdict(cells, compared)


@pytest.mark.parametrize(
    ("elbo", "found"),
    [
        (between(1, 3), "better"),
        (between(-3, -1), "worse"),
        (between(1, 3, p=0.0499), "better"),
        (between(1, 3, p=0.05), "unclear"),
        (between(1, 3, p=0.07), "unclear"),
        (between(1, 3, p=0.01, p_holm=0.06), "unclear"),  # it is the adjusted p that counts
        (between(1, 3, p=0.04, p_holm=0.049), "better"),
        (between(0.7, 0.7, p=None), "better"),  # the same on every pair
        (between(-0.7, -0.7, p=None), "worse"),
        (between(-0.3, 0.3, p=1), "equal"),
        (between(0.1, 0.3, p=0.001), "equal"),  # wherever zero is
        (between(-0.31, 0.3, p=0.9), "unclear"),
        (between(-0.3, 0.31, p=0.9), "unclear"),
        (between(0.1, 0.31, p=0.001), "better"),
        (on_one_pair(5), "one pair"),
        (NOT_KNOWN, "unknown"),
        (NOT_COMPARABLE, "not comparable"),
    ],
)
def test_the_outcome_follows_from_interval_and_adjusted_p(
    elbo: MetricDifference, found: Outcome
) -> None:
    """Equal within 0.3 nats, else better or worse below 0.05 after Holm, else unclear."""
    assert outcome(elbo) == found


@pytest.mark.parametrize(
    ("elbo", "sentence"),
    [
        (
            between(1, 4, n=4),
            "B is better by 2.50 nats of ELBO (95% interval 1.00 to 4.00, 4 seeds, p = 0.01).",
        ),
        (
            between(-4, -1),
            "B is worse by 2.50 nats of ELBO (95% interval 1.00 to 4.00, 3 seeds, p = 0.01).",
        ),
        (
            between(2, 2, p=None),
            "B is better by 2.00 nats of ELBO (the same on all 3 seeds, so no p-value).",
        ),
        (
            between(-0.3, 0.2, p=0.6),
            "A and B are shown equal within ±0.3 nats of ELBO (B minus A is -0.05, "
            "95% interval -0.30 to 0.20, 3 seeds, p = 0.6).",
        ),
        (
            between(-2, 1, p=0.3),
            "No difference in ELBO was found (B minus A is -0.50 nats, 95% interval -2.00 to "
            "1.00, 3 seeds, p = 0.3), but one of up to 2.00 nats is not ruled out.",
        ),
        (
            between(-1, 2, p=0.3),
            "No difference in ELBO was found (B minus A is 0.50 nats, 95% interval -1.00 to "
            "2.00, 3 seeds, p = 0.3), but one of up to 2.00 nats is not ruled out.",
        ),
        (
            on_one_pair(-2),
            "B is 2.00 nats of ELBO lower on the one pair there is: one pair, no interval, so "
            "sweep more seeds (--seeds 5) to tell a difference from chance.",
        ),
        (
            on_one_pair(1),
            "B is 1.00 nats of ELBO higher on the one pair there is: one pair, no interval, so "
            "sweep more seeds (--seeds 5) to tell a difference from chance.",
        ),
    ],
)
def test_one_cell_has_its_sentence(elbo: MetricDifference, sentence: str) -> None:
    """Size, direction, interval, seeds and p are those of the difference."""
    assert told(elbo) == (sentence,)


@pytest.mark.parametrize("elbo", [NOT_KNOWN, NOT_COMPARABLE])
def test_where_nothing_is_known_nothing_is_said(elbo: MetricDifference) -> None:
    """A verdict that is none is no sentence."""
    assert told(elbo) == ()


def test_mse_has_two_verdicts_that_may_differ() -> None:
    """Each yardstick is named, and judged by its own ELBO; bce has one and no sigma."""
    fixed, best = told(between(1, 3), kind="mse", best=between(-3, -1))
    assert fixed.startswith(f"{SIGMA_HALF}: B is better by 2.00 nats of ELBO (")
    assert best.startswith(f"{BEST_SIGMA}: B is worse by 2.00 nats of ELBO (")
    assert len(told(between(1, 3), best=between(-3, -1))) == 1


def test_several_cells_are_tallied_by_their_outcomes() -> None:
    """Every outcome is counted under its own words; the mean may be higher without a verdict."""
    every = (
        *(between(1, 3), between(2, 3), between(1, 2)),
        *(between(-3, -1), between(-2, -1)),
        *(between(-0.1, 0.2, p=0.5), between(-2, 1, p=0.3), between(-1, 2, p=0.2)),
        *(on_one_pair(1), NOT_KNOWN),
    )
    assert told(*every) == (
        "ELBO, bce: B's mean is higher in 6 of 10 cells; with Holm-adjusted p, "
        "B is better in 3, B is worse in 2, shown equal within 0.3 nats in 1, "
        "no difference found in 2, one pair and so no interval in 1, not known in 1.",
    )
    assert told(on_one_pair(1), on_one_pair(-1)) == (
        "ELBO, bce: B's mean is higher in 1 of 2 cells; one pair and so no interval in 2.",
    )


def test_a_tally_of_mse_names_its_sigma() -> None:
    """Both yardsticks are counted, each by its own ELBO."""
    fixed, best = told(between(1, 3), between(1, 3), kind="mse", best=between(-3, -1))
    assert fixed == (
        "ELBO, mse (under a Gaussian decoder with sigma^2 = 1/2): B's mean is higher in "
        "2 of 2 cells; with Holm-adjusted p, B is better in 2."
    )
    assert best == (
        "ELBO, mse (with each run's best sigma): B's mean is higher in 0 of 2 cells; "
        "with Holm-adjusted p, B is worse in 2."
    )


def test_collapse_is_counted_in_runs() -> None:
    """The shares of cells of 3 and 5 runs are added up as runs; none of either is no sentence."""
    cells = [
        ("bce", {"elbo": between(1, 3), "collapsed": collapsed(1 / 3, 1.0, 3)}),
        ("bce", {"elbo": between(1, 3), "collapsed": collapsed(0.4, 0.2, 5)}),
    ]
    assert verdict(cells, ())[0] == "Collapsed: 3 of 8 runs of A, 4 of 8 of B."
    for shares, said in (
        ((1.0, 0.0), "Collapsed: 6 of 6 runs of A, 0 of 6 of B."),
        ((0.0, 1.0), "Collapsed: 0 of 6 runs of A, 6 of 6 of B."),
        ((None, 1.0), "Collapsed: 0 of 6 runs of A, 6 of 6 of B."),
    ):
        assert told(between(1, 3), between(1, 3), shares=shares)[0] == said
    assert len(told(between(1, 3), between(1, 3))) == 1
    assert len(told(between(1, 3), shares=(0.0, 1.0))) == 1  # of one cell the table tells


def test_across_data_kind_or_d_there_is_no_verdict() -> None:
    """What keeps two ELBOs apart is named; k does not. Collapse is counted all the same."""
    no_verdict = "No verdict: ELBOs in nats are not comparable across {}."
    assert told(between(1, 3), compared=("d",)) == (no_verdict.format("d"),)
    assert told(between(1, 3), compared=("loss", "d", "dataset", "k")) == (
        no_verdict.format("dataset and d"),
    )
    assert told(between(1, 3), compared=("k", "loss")) == told(between(1, 3))
    counted_first = told(between(1, 3), between(1, 3), shares=(0.0, 1.0), compared=("d",))
    assert counted_first == (
        "Collapsed: 0 of 6 runs of A, 6 of 6 of B.",
        no_verdict.format("d"),
    )
