"""What the difference of two sides says, in a sentence."""

import pytest
from made_runs import compared, made_run, seeds_of

from lossbench.comparison.difference import holm


def test_better_worse_equal_and_unclear_are_different_sentences() -> None:
    """The verdict says which it is, with the interval, the seeds and p."""
    base = seeds_of("docs", k=2)
    verdicts = {
        word: compared(base, other).verdict[0]
        for word, other in {
            "better": seeds_of("docs", gain=2, hidden="128"),
            "worse": seeds_of("docs", gain=-2, hidden="128"),
            "equal": seeds_of("docs", gain=0.1, hidden="128"),
            "unclear": [made_run(seed=s, gain=g, hidden="8") for s, g in enumerate((-1, 2, 0))],
        }.items()
    }
    assert verdicts["better"] == (
        "B is better by 2.04 nats of ELBO (95% interval 1.94 to 2.14, 3 seeds, p = 0.00013)."
    )
    assert verdicts["worse"] == verdicts["better"].replace("better", "worse")
    assert verdicts["equal"].startswith("A and B are shown equal within ±0.3 nats of ELBO (B ")
    assert verdicts["unclear"].startswith("No difference in ELBO was found (B minus A is 0.33 ")
    assert verdicts["unclear"].endswith("nats is not ruled out.")


def test_one_pair_gives_no_verdict_but_advice() -> None:
    """Two single runs are compared without an interval, and more seeds are advised."""
    (verdict,) = compared([made_run("blog")], [made_run("docs")]).verdict
    assert "one pair, no interval" in verdict
    assert "--seeds 5" in verdict


def test_single_runs_of_different_seeds_are_compared_with_a_warning() -> None:
    """Two runs always pair, but a difference of seeds is said to be in the difference."""
    comparison = compared([made_run(seed=0)], [made_run(seed=1)])
    assert comparison.differing == {"seed": (0, 1)}
    assert any("The seeds differ" in note for note in comparison.notes)


def test_a_verdict_on_mse_names_its_sigma() -> None:
    """For mse there are two verdicts, and each says which decoder it rests on."""
    a, b = seeds_of("docs", 3, kind="mse"), seeds_of("docs", 3, 0.5, kind="mse", gain=0.5)
    fixed, best = compared(a, b).verdict
    assert fixed.startswith("Under a Gaussian decoder with sigma^2 = 1/2: B is better by")
    assert best.startswith("With each run's best sigma: ")


@pytest.mark.parametrize(
    ("other", "column", "comparable"),
    [
        ({"d": 16}, "d", {"bits_per_dim", "kl"}),
        ({"kind": "mse"}, "reconstruction_loss", {"kl"}),
        ({"dataset": "patches"}, "dataset", {"kl"}),
    ],
)
def test_elbos_that_are_not_comparable_get_no_verdict(
    other: dict[str, str], column: str, comparable: set[str]
) -> None:
    """Across d, data or kind of reconstruction no side is called better."""
    comparison = compared(seeds_of("docs"), seeds_of("docs", **other))
    assert comparison.verdict == (f"No verdict: ELBOs in nats are not comparable across {column}.",)
    metrics = comparison.cells[0].metrics
    names = ("elbo", "elbo_best_sigma", "reconstruction", "bits_per_dim", "kl", "objective")
    assert {name for name in names if metrics[name].comparable} == comparable
    assert metrics["elbo"].difference is None


def test_the_objective_is_compared_only_with_itself() -> None:
    """The trained number has a difference only where A and B train the same one."""
    scaled = compared(seeds_of("docs"), seeds_of("blog", beta=1 / 32)).cells[0].metrics
    same = compared(seeds_of("docs"), seeds_of("docs", hidden="9", gain=1)).cells[0].metrics
    assert (scaled["objective"].comparable, same["objective"].comparable) == (False, True)


def test_several_cells_are_counted_and_adjusted() -> None:
    """Each cell's p is adjusted by Holm, and the verdict counts the cells."""
    a = [run for k in (2, 8) for run in seeds_of("docs", k=k)]
    b = [run for k, gain in ((2, 2), (8, 0)) for run in seeds_of("blog", k=k, gain=gain)]
    comparison = compared(a, b)
    first, second = (cell.metrics["elbo"] for cell in comparison.cells)
    assert [first.p_holm, second.p_holm] == holm([first.p, second.p])
    assert comparison.verdict[0] == "Collapsed: 0 of 6 runs of A, 6 of 6 of B."
    assert comparison.verdict[1].startswith("ELBO, bce: B's mean is higher in 1 of 2 cells; ")


def test_cross_entropy_on_grey_pixels_is_noted_once() -> None:
    """The note stands wherever bce is shown, and nowhere else."""
    grey = [
        compared(seeds_of("docs", kind=k), seeds_of("blog", kind=k)).notes for k in ("bce", "mse")
    ]
    assert [sum("not a likelihood" in note for note in notes) for notes in grey] == [1, 0]
