"""The compare room: which runs are meant, how they pair, and what the difference says."""

import hashlib
import itertools
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Note
from rich.console import Console
from scipy import stats

from lossbench.compare import Comparison, MetricDifference, compare, parse_gate, select
from lossbench.compare.interval import holm, paired
from lossbench.console.comparison import comparison_table
from lossbench.conventions import Sizes, bits_per_dim, convention, elbo, elbo_best_sigma
from lossbench.errors import ResultsError, UsageError
from lossbench.schema import METRICS, RUNS
from lossbench.store import tables

_THRESHOLDS = {("bce", 64): 3.3187, ("mse", 64): 1.4012, ("bce", 16): 0.585, ("mse", 16): 0.3}
_ELBO = METRICS[0]
Facts = dict[str, object]


def _run(
    loss: str = "docs",
    beta: float = 1.0,
    seed: int = 0,
    *,
    d: int = 64,
    k: int = 2,
    kind: str = "bce",
    gain: float = 0.0,
    **facts: object,
) -> Facts:
    """Return the facts of one run whose numbers hang together; ``gain`` lifts its ELBO."""
    coefficients = convention(loss).coefficients(Sizes(d=d, k=k), beta)
    beta_eff = float(coefficients.beta_eff)
    threshold = _THRESHOLDS[kind, d]
    collapsed = beta_eff >= threshold
    kl = 0.0001 if collapsed else 0.5 * float(np.log(threshold / beta_eff))
    noise = float(np.random.default_rng([seed, d, k]).normal(0, 0.3))
    scale = 0.1 if kind == "mse" else 0.3
    reconstruction = scale * d + noise - 2 * kl - gain
    bound = elbo(reconstruction, kl, d, kind)
    slug = f"{loss}-{kind}-beta{beta:g}-d{d}-k{k}-seed{seed}"
    return {
        "run_id": f"{slug}-{hashlib.sha256(slug.encode()).hexdigest()[:10]}",
        "dataset": "digits",
        "loss": loss,
        "reconstruction_loss": kind,
        "beta": float(beta),
        "d": d,
        "k": k,
        "seed": seed,
        "a": float(coefficients.a),
        "b": float(coefficients.b),
        "beta_eff": beta_eff,
        "threshold": threshold,
        "predicted_active_units": 0 if collapsed else k,
        "implied_sigma": None if kind == "bce" else (beta_eff / 2) ** 0.5,
        "hidden": "64",
        "epochs": 200,
        "batch_size": 128,
        "optimizer": "adam",
        "learning_rate": 0.001,
        "noise_std": 1.0,
        "status": "ok",
        "elbo": bound,
        "reconstruction": reconstruction,
        "kl": kl,
        "bits_per_dim": bits_per_dim(bound, d),
        "elbo_best_sigma": elbo_best_sigma(reconstruction, kl, d, kind),
        "active_units": 0 if collapsed else k,
        "collapsed": collapsed,
        "objective": float(coefficients.a) * reconstruction + float(coefficients.b) * kl,
        "train_elbo": bound + 0.2,
        "train_reconstruction": reconstruction - 0.2,
        "train_kl": kl,
        "learning_rate_decay": 1.0,
        "epsilon": 1e-7,
        "eval_every": 0,
    } | facts


def _csv(runs: Iterable[Facts]) -> bytes:
    names = [column.name for column in RUNS]
    rows = [[tables.cell(run.get(name)) for name in names] for run in runs]
    return tables.csv_text([names, *rows]).encode()


def _frame(runs: Iterable[Facts]) -> pd.DataFrame:
    return tables.parsed(_csv(runs), RUNS, Path("runs.csv"))


def _write(folder: Path, runs: Iterable[Facts]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runs.csv").write_bytes(_csv(runs))
    return folder


def _seeds(loss: str, n_seeds: int = 3, beta: float = 1.0, **facts: object) -> list[Facts]:
    """Return one run a seed; a gain that a caller gives is made to differ between seeds."""
    lift = float(facts.pop("gain", 0.0))
    return [_run(loss, beta, seed, gain=lift * (1 + seed / 50), **facts) for seed in range(n_seeds)]


def _compared(a: Iterable[Facts], b: Iterable[Facts]) -> Comparison:
    return compare(_frame(a), _frame(b))


def _printed(comparison: Comparison, width: int = 80) -> str:
    console = Console(width=width, highlight=False, markup=False, emoji=False, color_system=None)
    with console.capture() as capture:
        console.print(comparison_table(comparison, {}))
    return capture.get()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two results folders: a grid on digits, and one run with two hidden layers."""
    grid = itertools.product(("blog", "docs"), (0.5, 1.0), range(2))
    _write(tmp_path / "grid", [_run(loss, beta, seed) for loss, beta, seed in grid])
    deep = _run("docs", 4.0, 7, hidden="64x64")
    _write(tmp_path / "deep", [deep | {"run_id": "docs-bce-beta4-d64-k2-seed7-deep567890"}])
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
        f"{results}/deep/docs",
        f"deep:{run_id[:8]}",
        f"{results}/deep",
    )
    assert [list(select(name, results)["run_id"]) for name in names] == [[run_id]] * len(names)


def test_an_id_that_starts_another_id_is_meant_itself(tmp_path: Path) -> None:
    """A whole id wins over the longer ids that start with it."""
    _write(tmp_path, [_run() | {"run_id": "docs-1"}, _run(seed=1) | {"run_id": "docs-10"}])
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
    assert "blog-bce-beta1-d64-k2-seed1-" in caught.value.remedy


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
        select(f"{_write(tmp_path / 'empty', [])}:loss=blog")


def test_a_run_in_two_folders_counts_once(tmp_path: Path) -> None:
    """A copied folder changes nothing, but two different results for one run are an error."""
    _write(tmp_path / "one", [_run()])
    _write(tmp_path / "two", [_run()])
    assert len(select("loss=docs", tmp_path)) == 1
    _write(tmp_path / "two", [_run(gain=1)])
    with pytest.raises(UsageError, match="different results in 2 folders"):
        select("loss=docs", tmp_path)
    comparison = compare(select("one:loss=docs", tmp_path), select("two:loss=docs", tmp_path))
    assert comparison.cells[0].metrics["elbo"].difference == pytest.approx(1)
    assert "Exactly the same objective" in comparison.algebra


# Statistics


def one_cell(a: Sequence[float], b: Sequence[float]) -> MetricDifference:
    """Return the paired comparison of one cell."""
    return paired(_ELBO, [a], [b], [True])[0]


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_interval_is_that_of_the_paired_t_test(n: int) -> None:
    """Interval and p-value are those of scipy.stats.ttest_rel."""
    a, b = np.random.default_rng(n).normal(size=(2, n))
    reference = stats.ttest_rel(b, a)
    low, high = reference.confidence_interval(0.95)
    ours = one_cell(a.tolist(), b.tolist())
    assert (ours.low, ours.high) == (pytest.approx(low), pytest.approx(high))
    assert ours.p == pytest.approx(reference.pvalue)
    assert ours.difference == pytest.approx(float((b - a).mean()))


@pytest.mark.parametrize("n", [5, 10, 20])
def test_intervals_cover_and_p_is_uniform_without_an_effect(n: int, note: Note) -> None:
    """Of 2,000 draws about 95% of intervals hold the truth, and p passes for uniform."""
    a, noise = np.random.default_rng(20 + n).normal(size=(2, 2000, n))
    b = 0.9 * a + 0.4 * noise
    found = paired(_ELBO, a.tolist(), b.tolist(), [True] * len(a))
    covered = np.mean([low <= 0 <= high for low, high in map(_ends, found)])
    uniform = stats.kstest([one.p for one in found], "uniform").pvalue
    held = 0.935 <= covered <= 0.965 and uniform > 0.01
    figure = f"95% interval covers {covered:.2%}, p uniform (Kolmogorov-Smirnov p {uniform:.2f})"
    note(f"comparisons are right (n = {n})", 2000, 2000 if held else 0, figure, "simulated pairs")
    assert held, figure


def _ends(one: MetricDifference) -> tuple[float, float]:
    assert one.low is not None
    assert one.high is not None
    return one.low, one.high


def test_one_pair_has_no_interval() -> None:
    """A single pair has a difference but neither interval nor p."""
    one = one_cell([1.0], [3.0])
    assert (one.difference, one.low, one.high, one.p) == (2.0, None, None, None)


def test_a_constant_difference_has_no_p() -> None:
    """Differences without spread, but for rounding, have an interval of width 0 and no p."""
    a = [0.1, 0.2, 0.3]
    one = one_cell(a, [x + 0.7 for x in a])
    assert (one.half_width, one.p) == (0.0, None)
    assert one_cell(a, a).difference == 0


def test_an_unknown_metric_stays_unknown() -> None:
    """A pair with a missing number is left out; with none left nothing is said."""
    assert one_cell([1.0, float("nan")], [2.0, 3.0]).n == 1
    assert one_cell([float("nan")], [2.0]).difference is None


def test_holm_agrees_with_a_hand_worked_example() -> None:
    """P = 0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([None, 0.02]) == [None, 0.02]


# Pairing


def test_selections_pair_by_seed_and_by_what_varies() -> None:
    """Pairs agree in beta, k and seed; they are grouped by cell, and differ in the loss alone."""
    grid = list(itertools.product((0.5, 1.0), (2, 8), range(3)))
    a, b = ([_run(loss, beta, s, k=k) for beta, k, s in grid] for loss in ("blog", "docs"))
    comparison = _compared(a, reversed(b))
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
    a = [_run("blog", beta_eff / 32, s) for beta_eff in (0.5, 1, 3) for s in range(2)]
    b = [_run("docs", beta_eff, s) for beta_eff in (0.5, 1, 3) for s in range(2)]
    comparison = _compared(a, b)
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
    a = [_run("blog", k / d, d=d, k=k) for d, k in sizes]
    comparison = _compared(a, [_run("docs", 1, d=d, k=k) for d, k in sizes])
    assert len(comparison.cells) == 4
    assert "The same objective up to a factor of 16 to 64" in comparison.algebra


def test_unpaired_and_failed_runs_are_listed() -> None:
    """What has no partner is named; a failed run is left out, counted and named."""
    a, b = _seeds("blog", 4), _seeds("docs", 3)
    b[0]["status"] = "crashed"
    comparison = _compared(a, b)
    assert comparison.unpaired_a == (a[0]["run_id"], a[3]["run_id"])
    assert comparison.failed_b == (b[0]["run_id"],)
    assert "1 failed run of B is left out (crashed)." in comparison.notes
    assert str(a[3]["run_id"]) in _printed(comparison)


def test_what_cannot_pair_names_the_column_to_fix() -> None:
    """Selections that vary in disjoint values are told which column to give one value."""
    a = [_run("blog", beta, hidden=hidden) for beta in (0.5, 1) for hidden in ("32", "64")]
    with pytest.raises(UsageError, match="no run of A has a partner in B") as caught:
        _compared(a, [_run("docs", beta, hidden="128") for beta in (0.5, 1)])
    assert "hidden is 32, 64 in A and 128 in B" in caught.value.received
    assert "give `hidden` one value" in caught.value.remedy


def test_a_side_that_failed_altogether_is_an_error() -> None:
    """Nothing is compared with runs that all failed."""
    with pytest.raises(ResultsError, match="every run of B failed"):
        _compared(_seeds("blog"), [run | {"status": "nan"} for run in _seeds("docs")])


def test_the_same_runs_are_no_comparison() -> None:
    """A selection against itself is a mistake, and is told so."""
    with pytest.raises(UsageError, match="the same runs"):
        _compared(_seeds("docs"), _seeds("docs"))


def test_twins_that_cannot_be_told_apart_are_an_error() -> None:
    """Two runs of one side with equal settings and seed do not pair."""
    twin = _run("blog") | {"run_id": "blog-of-other-data"}
    with pytest.raises(UsageError, match="two runs of A have the same settings"):
        _compared([_run("blog"), twin], [_run("docs")])


# Algebra


@pytest.mark.parametrize(
    ("a", "b", "sentences"),
    [
        (
            _run("docs"),
            _run("blog"),
            "Different objectives: beta_eff 1 against 32. 1 is below the threshold 3.32: "
            "A does not collapse; 32 is above it: B does.",
        ),
        (
            _run("blog", 1 / 32),
            _run("docs"),
            "The same objective up to a factor of 64: blog at beta 0.03125 is docs at beta 1, "
            "divided by 64. Adam does not feel the factor (but for epsilon); SGD, weight decay "
            "and gradient clipping do. 1 is below the threshold 3.32: neither collapses.",
        ),
        (
            _run("docs", optimizer="sgd"),
            _run("blog", 1 / 32, optimizer="sgd"),
            "The same objective up to a factor of 64: blog at beta 0.03125 is docs at beta 1, "
            "divided by 64. SGD feels the factor as it would a factor on the learning rate; "
            "Adam would not. 1 is below the threshold 3.32: neither collapses.",
        ),
        (
            _run("blog", hidden="64"),
            _run("blog", hidden="128"),
            "Exactly the same objective: blog at beta 1. 32 is above the threshold 3.32: "
            "both collapse.",
        ),
        (
            _run("docs", d=16),
            _run("docs", d=64),
            "Different objectives: A and B differ in d, with beta_eff 1 in both. 1 is above the "
            "threshold 0.585: A collapses; 1 is below the threshold 3.32: B does not.",
        ),
        (
            _run("docs", threshold=None),
            _run("blog", threshold=None),
            "Different objectives: beta_eff 1 against 32.",
        ),
        (
            _run("docs", 3.32, threshold=3.3187),
            _run("docs", 3.32, threshold=3.3187, epochs=9),
            "Exactly the same objective: docs at beta 3.32. 3.32 is above the threshold 3.319: "
            "both collapse.",
        ),
        (
            _run("docs", a=None, threshold=None),
            _run("blog"),
            "The coefficients a and b are not known, so the objectives cannot be related.",
        ),
    ],
)
def test_the_algebra_is_said_in_words(a: Facts, b: Facts, sentences: str) -> None:
    """One sentence relates the objectives, and what follows from it is said after it."""
    assert _compared([a], [b]).algebra == sentences


def test_the_algebra_of_several_cells_gives_the_range() -> None:
    """Over a grid the ratio of beta_eff, d/k, is given as a range, collapse as counts."""
    sizes = list(itertools.product((16, 64), (2, 8)))
    a, b = ([_run(loss, d=d, k=k) for d, k in sizes] for loss in ("docs", "blog"))
    assert _compared(a, b).algebra == (
        "Different objectives: the beta_eff of B is 2 to 32 times that of A. beta_eff reaches "
        "its threshold, where the model collapses, in 2 of 4 cells for A and in 4 for B."
    )


# Verdict


def test_better_worse_equal_and_unclear_are_different_sentences() -> None:
    """The verdict says which it is, with the interval, the seeds and p."""
    base = _seeds("docs", k=2)
    verdicts = {
        word: _compared(base, other).verdict[0]
        for word, other in {
            "better": _seeds("docs", gain=2, hidden="128"),
            "worse": _seeds("docs", gain=-2, hidden="128"),
            "equal": _seeds("docs", gain=0.1, hidden="128"),
            "unclear": [_run(seed=s, gain=g, hidden="8") for s, g in enumerate((-1, 2, 0))],
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
    (verdict,) = _compared([_run("blog")], [_run("docs")]).verdict
    assert "one pair, no interval" in verdict
    assert "--seeds 5" in verdict


def test_single_runs_of_different_seeds_are_compared_with_a_warning() -> None:
    """Two runs always pair, but a difference of seeds is said to be in the difference."""
    comparison = _compared([_run(seed=0)], [_run(seed=1)])
    assert comparison.differing == {"seed": (0, 1)}
    assert any("The seeds differ" in note for note in comparison.notes)


def test_a_verdict_on_mse_names_its_sigma() -> None:
    """For mse there are two verdicts, and each says which decoder it rests on."""
    a, b = _seeds("docs", 3, kind="mse"), _seeds("docs", 3, 0.5, kind="mse", gain=0.5)
    fixed, best = _compared(a, b).verdict
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
    comparison = _compared(_seeds("docs"), _seeds("docs", **other))
    assert comparison.verdict == (f"No verdict: ELBOs in nats are not comparable across {column}.",)
    metrics = comparison.cells[0].metrics
    names = ("elbo", "elbo_best_sigma", "reconstruction", "bits_per_dim", "kl", "objective")
    assert {name for name in names if metrics[name].comparable} == comparable
    assert metrics["elbo"].difference is None


def test_the_objective_is_compared_only_with_itself() -> None:
    """The trained number has a difference only where A and B train the same one."""
    scaled = _compared(_seeds("docs"), _seeds("blog", beta=1 / 32)).cells[0].metrics
    same = _compared(_seeds("docs"), _seeds("docs", hidden="9", gain=1)).cells[0].metrics
    assert (scaled["objective"].comparable, same["objective"].comparable) == (False, True)


def test_several_cells_are_counted_and_adjusted() -> None:
    """Each cell's p is adjusted by Holm, and the verdict counts the cells."""
    a = [run for k in (2, 8) for run in _seeds("docs", k=k)]
    b = [run for k, gain in ((2, 2), (8, 0)) for run in _seeds("blog", k=k, gain=gain)]
    comparison = _compared(a, b)
    first, second = (cell.metrics["elbo"] for cell in comparison.cells)
    assert [first.p_holm, second.p_holm] == holm([first.p, second.p])
    assert comparison.verdict[0] == "Collapsed: 0 of 6 runs of A, 6 of 6 of B."
    assert comparison.verdict[1].startswith("ELBO, bce: B's mean is higher in 1 of 2 cells; ")


def test_cross_entropy_on_grey_pixels_is_noted_once() -> None:
    """The note stands wherever bce is shown, and nowhere else."""
    grey = [_compared(_seeds("docs", kind=k), _seeds("blog", kind=k)).notes for k in ("bce", "mse")]
    assert [sum("not a likelihood" in note for note in notes) for notes in grey] == [1, 0]


# Gate


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
    comparison = _compared(_seeds("docs"), _seeds("docs", gain=-2, hidden="128"))
    low, high = _ends(comparison.cells[0].metrics["elbo"])
    assert low < -2.04 < high < -1.9
    assert "elbo < -1.9 holds" in str(parse_gate("elbo < -1.9").tripped(comparison))
    assert parse_gate("elbo < -2").tripped(comparison) is None
    assert parse_gate(f"elbo < {high!r}").tripped(comparison) is None
    assert parse_gate(f"elbo <= {high!r}").tripped(comparison) is not None
    assert parse_gate("elbo > -2.1").tripped(comparison) is None
    assert parse_gate("elbo > -2.2").tripped(comparison) is not None


def test_the_difference_itself_counts_for_one_pair_and_for_collapse() -> None:
    """Where there is no interval the difference is all there is."""
    comparison = _compared([_run("docs")], [_run("docs", gain=-1, hidden="128")])
    assert parse_gate("elbo < -0.5").tripped(comparison) is not None
    assert parse_gate("elbo < -1.5").tripped(comparison) is None
    collapse = _compared(_seeds("docs"), _seeds("blog"))
    assert parse_gate("collapsed > 0").tripped(collapse) is not None


def test_one_cell_is_enough_to_trip_a_gate_and_is_named() -> None:
    """Of several cells the message names those that trip."""
    a = [run for k in (2, 8) for run in _seeds("docs", k=k)]
    b = [run for k in (2, 8) for run in _seeds("docs", k=k, gain=-(k == 8), hidden="128")]
    reason = str(parse_gate("elbo < -0.5").tripped(_compared(a, b)))
    assert "at k 8" in reason
    assert "at k 2" not in reason


def test_a_gate_cannot_rest_on_what_is_not_comparable_or_not_known() -> None:
    """Neither passes in silence."""
    with pytest.raises(UsageError, match="not comparable"):
        parse_gate("elbo < 0").tripped(_compared(_seeds("docs"), _seeds("docs", d=16)))
    unknown = _compared(_seeds("docs", elbo=None), _seeds("blog", elbo=None))
    with pytest.raises(ResultsError, match="not known"):
        parse_gate("elbo < 0").tripped(unknown)


# What leaves the room


def _examples() -> list[Comparison]:
    grid = list(itertools.product((0.1, 1.0, 4.0), (16, 64), (2, 8), range(2), ("bce", "mse")))
    whole = [
        [_run(loss, beta, s, d=d, k=k, kind=kind) for beta, d, k, s, kind in grid]
        for loss in ("blog", "docs")
    ]
    return [
        _compared([_run("blog")], [_run("docs")]),
        _compared(_seeds("docs", kind="mse"), _seeds("blog", kind="mse")),
        _compared(_seeds("docs", elbo=None), _seeds("blog", threshold=None)),
        _compared([_run("docs", a=None, beta_eff=None)], [_run("blog", b=None, beta_eff=None)]),
        _compared(_seeds("docs"), _seeds("docs", kind="mse")),
        _compared(*whole),
    ]


def test_json_is_whole_and_has_no_nan() -> None:
    """The plain form survives strict JSON and keeps full precision."""
    for comparison in _examples():
        facts = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
        for plain, cell in zip(facts["cells"], comparison.cells, strict=True):
            assert plain["metrics"]["kl"]["difference"] == cell.metrics["kl"].difference
            assert plain["a"]["loss"] == cell.objectives.a.loss
    first = _examples()[0].to_json()
    assert json.loads(json.dumps(first))["cells"][0]["metrics"]["elbo"]["outcome"] == "one pair"


def test_a_comparison_fits_80_columns_and_cuts_nothing() -> None:
    """No line is longer, no ellipsis stands for a name, and single runs are named whole."""
    for comparison in _examples():
        text = _printed(comparison)
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
        assert "nan" not in text
        if len(comparison.cells) == 1 == len(comparison.cells[0].pairs):
            assert comparison.cells[0].pairs[0].run_a in text


def test_the_printed_comparison_reads_in_order() -> None:
    """First the algebra, then what differs, then the metrics, then the verdict."""
    text = _printed(_compared(_seeds("blog"), _seeds("docs", gain=1)), width=160)
    parts = ("Different objectives", "loss      blog  docs", "Common: ", "elbo  ", "B is better")
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "not comparable" in next(x for x in text.splitlines() if x.startswith("objective"))
    assert "elbo_best_sigma" not in text


def _loaded(code: str) -> Sequence[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return done.stdout.split()


def test_comparing_loads_neither_tensorflow_nor_scipy_stats() -> None:
    """The command answers at once: nothing heavy is imported."""
    loaded = _loaded("import lossbench.compare, lossbench.console.comparison")
    assert "lossbench.compare" in loaded
    assert not {"tensorflow", "keras", "scipy.stats", "distributed"} & set(loaded)
