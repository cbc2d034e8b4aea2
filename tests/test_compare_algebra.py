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
            "A does not collapse; 32 is above it: B does.",
        ),
        (
            made_run("blog", 1 / 32),
            made_run("docs"),
            "The same objective up to a factor of 64: blog at beta 0.03125 is docs at beta 1, "
            "divided by 64. Adam does not feel the factor (but for epsilon); SGD, weight decay "
            "and gradient clipping do. 1 is below the threshold 3.32: neither collapses.",
        ),
        (
            made_run("docs", optimizer="sgd"),
            made_run("blog", 1 / 32, optimizer="sgd"),
            "The same objective up to a factor of 64: blog at beta 0.03125 is docs at beta 1, "
            "divided by 64. SGD feels the factor as it would a factor on the learning rate; "
            "Adam would not. 1 is below the threshold 3.32: neither collapses.",
        ),
        (
            made_run("blog", hidden="64"),
            made_run("blog", hidden="128"),
            "Exactly the same objective: blog at beta 1. 32 is above the threshold 3.32: "
            "both collapse.",
        ),
        (
            made_run("docs", d=16),
            made_run("docs", d=64),
            "Different objectives: A and B differ in d, with beta_eff 1 in both. 1 is above the "
            "threshold 0.585: A collapses; 1 is below the threshold 3.32: B does not.",
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
            "both collapse.",
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
        "its threshold, where the model collapses, in 2 of 4 cells for A and in 4 for B."
    )
