"""What the algebra says of two sides."""

import itertools

import pytest
from made_runs import Facts, compared, made_run


@pytest.mark.parametrize(
    ("a", "b", "sentences"),
    [
        (
            made_run("docs"),
            made_run("blog"),
            "Different objectives: beta_eff 1 against 32. 1 is below the threshold 3.32: "
            "A should not collapse; 32 is above it: B should.",
        ),
        (
            made_run("blog", 1 / 32),
            made_run("docs"),
            "The same objective up to a factor of 64: blog at beta 0.03125 is docs at beta 1, "
            "divided by 64. Adam does not feel the factor (but for epsilon); SGD, weight decay "
            "and gradient clipping do. 1 is below the threshold 3.32: neither should collapse.",
        ),
        (
            made_run("docs", optimizer="sgd"),
            made_run("blog", 1 / 32, optimizer="sgd"),
            "The same objective up to a factor of 64: blog at beta 0.03125 is docs at beta 1, "
            "divided by 64. SGD feels the factor as it would a factor on the learning rate; "
            "Adam would not. 1 is below the threshold 3.32: neither should collapse.",
        ),
        (
            made_run("blog", hidden="64"),
            made_run("blog", hidden="128"),
            "Exactly the same objective: blog at beta 1. 32 is above the threshold 3.32: "
            "both should collapse.",
        ),
        (
            made_run("docs", d=16),
            made_run("docs", d=64),
            "Different objectives: A and B differ in d, with beta_eff 1 in both. 1 is above the "
            "threshold 0.585: A should collapse; 1 is below the threshold 3.32: B should not.",
        ),
        (
            made_run("docs", threshold=None),
            made_run("blog", threshold=None),
            "Different objectives: beta_eff 1 against 32.",
        ),
        (
            made_run("docs", 3.32, threshold=3.3187),
            made_run("docs", 3.32, threshold=3.3187, epochs=9),
            "Exactly the same objective: docs at beta 3.32. 3.32 is above the threshold 3.319: "
            "both should collapse.",
        ),
        (
            made_run("docs", a=None, threshold=None),
            made_run("blog"),
            "The coefficients a and b are not known, so the objectives cannot be related.",
        ),
    ],
)
def test_the_algebra_is_said_in_words(a: Facts, b: Facts, sentences: str) -> None:
    """One sentence relates the objectives, and what follows from it is said after it."""
    assert compared([a], [b]).algebra == sentences


def test_the_algebra_of_several_cells_gives_the_range() -> None:
    """Over a grid the ratio of beta_eff, d/k, is given as a range, collapse as counts."""
    sizes = list(itertools.product((16, 64), (2, 8)))
    a, b = ([made_run(loss, d=d, k=k) for d, k in sizes] for loss in ("docs", "blog"))
    assert compared(a, b).algebra == (
        "Different objectives: the beta_eff of B is 2 to 32 times that of A. beta_eff reaches "
        "its threshold, where the model should collapse, in 2 of 4 cells for A and in 4 for B."
    )


def cells_of(a: dict[str, object], b: dict[str, object], betas: tuple[float, ...]) -> str:
    """Return the algebra of two losses over several betas; ``a`` and ``b`` are their settings."""
    sides = ([made_run(beta=beta, **side) for beta in betas] for side in (a, b))
    return compared(*sides).algebra


ONE, TWO = {"loss": "docs", "hidden": "8"}, {"loss": "docs", "hidden": "9"}
BLOG = {"loss": "blog"}


def test_over_several_cells_the_relation_is_counted() -> None:
    """Identical, scaled, different or mixed: each has its own words, and so has the collapse."""
    reaches = (
        "beta_eff reaches its threshold, where the model should collapse, in {} of 2 cells for A "
    )
    reaches += "and in {} for B."
    assert cells_of(ONE, TWO, (1, 4)) == (
        f"Exactly the same objective in each of the 2 cells. {reaches.format(1, 1)}"
    )
    a = [made_run("blog", beta_eff / 32, optimizer="sgd") for beta_eff in (1, 4)]
    b = [made_run("docs", beta_eff, optimizer="sgd") for beta_eff in (1, 4)]
    assert compared(a, b).algebra == (
        "The same objective up to a factor of 64: blog is docs, divided by it, in each of the 2 "
        "cells. SGD feels the factor as it would a factor on the learning rate; Adam would not. "
        + reaches.format(1, 1)
    )
    assert compared(b, a).algebra == compared(a, b).algebra
    assert cells_of({"loss": "docs"}, BLOG, (1, 4)) == (
        f"Different objectives: the beta_eff of B is 32 times that of A. {reaches.format(1, 2)}"
    )
    assert cells_of(BLOG, {"loss": "docs"}, (1, 4)) == (
        f"Different objectives: the beta_eff of A is 32 times that of B. {reaches.format(2, 1)}"
    )
    assert cells_of({"loss": "docs", "d": 16}, {"loss": "docs"}, (1, 4)) == (
        "Different objectives: A and B differ in d, with the same beta_eff in each cell. "
        + reaches.format(2, 1)
    )
    twice = made_run("docs", 4, d=16) | {"beta_eff": 8.0}
    assert compared(
        [made_run("docs", 1, d=16), twice], [made_run(beta=b) for b in (1, 4)]
    ).algebra == (
        "Different objectives: A and B differ in d, the beta_eff of A is 1 to 2 times that of B. "
        + reaches.format(2, 1)
    )
    assert cells_of({"loss": "docs", "d": 16}, {"loss": "docs"}, (0, 4)) == (
        "Different objectives: A and B differ in d, the table has each cell's beta_eff. "
        + reaches.format(1, 1)
    )
    unknown = {"loss": "blog", "threshold": None}
    assert cells_of({"loss": "docs"}, unknown, (1, 4)) == (
        "Different objectives: the beta_eff of B is 32 times that of A."
    )


def test_cells_of_both_kinds_and_cells_that_are_not_known() -> None:
    """Where k is d blog is docs up to a factor, elsewhere it is not; one unknown is enough."""
    sizes = ((64, 64), (64, 2), (64, 8))
    a, b = ([made_run(loss, k=k, d=d) for d, k in sizes] for loss in ("blog", "docs"))
    assert compared(a, b).algebra.startswith(
        "The same objective up to a factor in 1 of 3 cells, different objectives in 2. beta_eff "
    )
    a[0] |= {"b": None, "beta_eff": None}
    assert compared(a, b).algebra == (
        "The coefficients a and b are not known, so the objectives cannot be related."
    )


@pytest.mark.parametrize(
    ("a", "b", "collapse"),
    [
        (
            made_run("docs", 4),
            made_run("docs", 8),
            "4 is above the threshold 3.32: A should collapse; 8 is above it: so should B.",
        ),
        (
            made_run("docs", 1),
            made_run("docs", 2),
            "1 is below the threshold 3.32: A should not collapse; 2 is below it: nor should B.",
        ),
        (
            made_run("blog", 1),
            made_run("docs", 1),
            "32 is above the threshold 3.32: A should collapse; 1 is below it: B should not.",
        ),
        (
            made_run("docs", 1),
            made_run("docs", 2, d=16),
            "1 is below the threshold 3.32: A should not collapse; 2 is above the threshold 0.585: "
            "B should.",
        ),
        (
            made_run("docs", 3.3187),
            made_run("docs", 3.3187, hidden="8"),
            "3.3187 is at the threshold 3.3187: both should collapse.",
        ),
        (
            made_run("docs", 3.318),
            made_run("docs", 3.318, hidden="8"),
            "3.318 is below the threshold 3.319: neither should collapse.",
        ),
    ],
)
def test_on_which_side_of_the_threshold_each_is(a: Facts, b: Facts, collapse: str) -> None:
    """At the threshold it collapses; numbers have digits enough to be told apart."""
    assert compared([a], [b]).algebra.endswith(collapse)


@pytest.mark.parametrize(
    ("of_a", "of_b", "feels"),
    [
        ("adam", "adam", "Adam does not feel the factor (but for epsilon); SGD, weight decay and "),
        ("rmsprop", "adam", "Adam and RMSprop do not feel the factor (but for epsilon); SGD, "),
        ("rmsprop", "rmsprop", "RMSprop does not feel the factor (but for epsilon); SGD, "),
        ("sgd", "adam", "SGD feels the factor as it would a factor on the learning rate; Adam "),
    ],
)
def test_whether_an_optimizer_feels_the_factor(of_a: str, of_b: str, feels: str) -> None:
    """Adam and RMSprop do not; one side with SGD is enough to feel it."""
    sides = made_run("blog", 1 / 32, optimizer=of_a), made_run("docs", 1, optimizer=of_b)
    assert feels in compared([sides[0]], [sides[1]]).algebra


def test_the_smaller_objective_is_the_larger_one_divided() -> None:
    """Whichever side it is on; equal betas of one loss are written once, others both."""
    told = "blog at beta 0.03125 is docs at beta 1, divided by 64"
    sides = [made_run("blog", 1 / 32)], [made_run("docs", 1)]
    assert told in compared(*sides).algebra
    assert told in compared(*sides[::-1]).algebra
    square = {"d": 64, "k": 64, "threshold": 9.0}
    a = made_run("docs", 2, **square) | {"a": 1 / 64, "b": 2 / 64}
    assert compared([a], [made_run("blog", 2, **square)]).algebra == (
        "Exactly the same objective: docs at beta 2 is blog at beta 2. 2 is below the threshold "
        "9: neither should collapse."
    )


def test_a_factor_near_one_has_its_direction_too() -> None:
    """Between 1 and 2 it is still the smaller one that is the larger one divided."""
    larger = made_run("docs") | {"loss": "mine", "a": 1.5, "b": 1.5}
    for sides in (([larger], [made_run("docs")]), ([made_run("docs")], [larger])):
        assert compared(*sides).algebra.startswith(
            "The same objective up to a factor of 1.5: docs at beta 1 is mine at beta 1, divided "
            "by 1.5. "
        )


@pytest.mark.parametrize(
    ("of_a", "side", "times"), [((0.1, 4), "B", "0.5 to 10"), ((0.5, 8), "A", "0.5 to 4")]
)
def test_the_range_is_told_of_the_side_that_is_larger_on_the_whole(
    of_a: tuple[float, float], side: str, times: str
) -> None:
    """Of a range around 1 the side whose ends have a product of at least 1 comes first."""
    a = [made_run("blog", beta, beta_eff=own) for beta, own in zip((1, 2), of_a, strict=True)]
    b = [made_run("docs", beta) for beta in (1, 2)]
    other = "A" if side == "B" else "B"
    assert compared(a, b).algebra.startswith(
        f"Different objectives: the beta_eff of {side} is {times} times that of {other}. "
    )


def test_a_setting_that_one_side_does_not_have_is_no_difference_of_objectives() -> None:
    """Sigma is that of gaussian, and of laplace; bce has none."""
    a, b = made_run(kind="bce"), made_run(kind="mse")
    gaussian, laplace = (b | {"reconstruction_loss": kind} for kind in ("gaussian", "laplace"))
    told = compared([a], [gaussian | {"sigma": "learned"}]).algebra
    assert "A and B differ in reconstruction_loss, " in told
    told = compared([laplace | {"sigma": "0.1"}], [gaussian | {"sigma": "learned"}]).algebra
    assert "A and B differ in reconstruction_loss and sigma, " in told
