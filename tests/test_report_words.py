"""What a report says depends on its numbers: every sentence where it is true, and only there."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import Facts, made_run, seeds_of
from made_summaries import grid_of, history_of, results_of, summary_of

from lossbench.report.answer import answer
from lossbench.report.cases import (
    Case,
    by_data,
    cases,
    losses_of,
    measured,
    planes,
    shared_beta,
    shown_dataset,
)
from lossbench.report.charts import (
    comparisons,
    d_sweeps,
    elbo_against,
    kl_and_active_units,
    learning_curves,
    measured_against_predicted,
    rate_distortion,
)
from lossbench.report.style import figure, legend, log_axis, mark, series_of

NO_THRESHOLDS = pd.DataFrame({"ratio": []})


def equal_weights(lift: float = 0.0, beta_eff: float = 1.0) -> list[Facts]:
    """Return runs of docs and blog at one beta_eff, the blog's ELBO lifted by so many nats."""
    return [
        *(made_run("docs", beta_eff, seed, elbo=-20.0) for seed in range(2)),
        *(made_run("blog", beta_eff / 32, seed, elbo=-20.0 + lift) for seed in range(2)),
    ]


def case_of(folder: Path, runs: list[Facts]) -> Case:
    """Return the one case of made runs."""
    (case,) = cases(summary_of(folder, runs))
    return case


# ELBO against beta and beta_eff.


@pytest.mark.parametrize(
    ("lift", "said"),
    [
        (0.0, "Against beta_eff the curves coincide: over the one beta_eff the mean ELBOs are at "
         "most 0 nats apart."),
        (-0.29, "Against beta_eff the curves coincide: over the one beta_eff the mean ELBOs are at "
         "most 0.29 nats apart."),
        (0.31, "Over the one beta_eff the mean ELBOs are up to 0.31 nats apart, at beta_eff 1."),
        (-2.0, "Over the one beta_eff the mean ELBOs are up to 2.00 nats apart, at beta_eff 1."),
    ],
)  # fmt: skip
def test_curves_are_said_to_coincide_only_where_they_do(
    tmp_path: Path, lift: float, said: str
) -> None:
    """Within 0.3 nats; else it is told how far apart they are, and where."""
    case = case_of(tmp_path, equal_weights(lift))
    assert elbo_against(case, series_of(["docs", "blog"]), "beta_eff").reading == said


def test_the_place_where_curves_are_furthest_apart_is_told(tmp_path: Path) -> None:
    """Of two shared beta_eff the one with the larger distance, which side is higher or not."""
    case = case_of(tmp_path, equal_weights(-0.5) + equal_weights(0.4, beta_eff=2.0))
    reading = elbo_against(case, series_of(["docs", "blog"]), "beta_eff").reading
    assert reading == (
        "Over the 2 pairs of equal beta_eff the mean ELBOs are up to 0.50 nats apart, at "
        "beta_eff 1."
    )


def test_without_a_shared_weight_the_best_is_told(tmp_path: Path) -> None:
    """Several losses that share no beta_eff are said to; of one loss nothing more is said."""
    runs = [made_run("docs", 1.0, elbo=-20.0), made_run("blog", 1.0, elbo=-21.5)]
    series = series_of(["docs", "blog"])
    best = "The best ELBO is -20.00 nats, of docs at beta_eff 1"
    case = case_of(tmp_path / "two", runs)
    assert elbo_against(case, series, "beta_eff").reading == (
        f"{best}; no two losses were trained at one beta_eff."
    )
    assert elbo_against(case, series, "beta").reading == (
        "At the same beta the losses are up to 1.50 nats apart: at beta 1, docs reaches -20.00 "
        "and blog -21.50."
    ) or elbo_against(case, series, "beta").reading.endswith("blog reaches -21.50 and docs -20.00.")
    case = case_of(tmp_path / "one", [runs[0], made_run("docs", 2.0, elbo=-22.0)])
    assert elbo_against(case, series, "beta_eff").reading == f"{best}."


def test_a_threshold_is_drawn_where_the_settings_reach_it(tmp_path: Path) -> None:
    """A line at t_1, named, exactly if some beta_eff is at it or above; never against beta."""
    series = series_of(["docs"])
    for betas, n_lines in (((1.0, 3.3187), 1), ((1.0, 3.3), 0), ((1.0, 9.0), 1)):
        folder = tmp_path / f"to {betas[1]}"
        case = case_of(folder, grid_of(losses=("docs",), betas=betas, n_seeds=1))
        for weight, n in (("beta_eff", n_lines), ("beta", 0)):
            (axes,) = elbo_against(case, series, weight).figure.axes
            assert [text.get_text() for text in axes.texts] == ["t_1 "] * n
            levels = [x for line in axes.lines if len(set(x := line.get_xdata())) == 1 for _ in x]
            assert (case.threshold in [float(x) for row in levels for x in row]) == bool(n)


def test_a_case_has_the_figures_that_its_settings_give(tmp_path: Path) -> None:
    """One weight gives no curve, one loss none against beta, two settings no plane."""

    def names(name: str, runs: list[Facts]) -> list[str]:
        case = case_of(tmp_path / name, runs)
        drawn = comparisons(case, case, series_of(losses_of(case.rows)))
        return [drawing.name for drawing in drawn]

    one = {"losses": ("docs",), "n_seeds": 1}
    assert names("one setting", grid_of(betas=(1.0,), **one)) == []
    assert names("two weights", grid_of(betas=(1.0, 2.0), **one)) == ["elbo-beta_eff-bce"]
    assert names("three", grid_of(betas=(1.0, 2.0, 4.0), **one)) == [
        "elbo-beta_eff-bce",
        "rate-distortion-bce",
    ]
    assert names("equal", equal_weights()) == ["elbo-beta-bce"]
    assert names("two losses", grid_of(betas=(1.0,), n_seeds=1)) == ["elbo-beta_eff-bce"]


def test_the_plane_tells_the_range_of_the_kl_and_how_far_two_losses_are_apart(
    tmp_path: Path,
) -> None:
    """R and K of two losses at one beta_eff are held against each other, in nats of both."""
    runs = [
        *(made_run("docs", beta, kl=kl, reconstruction=20.0) for beta, kl in ((1, 3.0), (2, 1.0))),
        made_run("blog", 1 / 32, kl=2.5, reconstruction=21.0),
        made_run("blog", 2 / 32, kl=1.25, reconstruction=20.5),
    ]
    said = "the KL goes from 3.00 nats at beta_eff 1 to 1.00 at 2"
    series = series_of(["docs", "blog"])
    case = case_of(tmp_path / "two", runs)
    assert rate_distortion(case, series).reading == (
        f"All losses lie on one curve, and beta_eff decides where on it: {said}. Two losses at "
        "one beta_eff are at most 1.50 nats apart."
    )
    case = case_of(tmp_path / "one", runs[:2])
    assert rate_distortion(case, series).reading == f"Along the curve {said}."
    case = case_of(tmp_path / "none", [runs[0], made_run("docs", 2.0, kl=-1e-9)])
    assert rate_distortion(case, series).reading.endswith("to 0 at 2.")


def test_the_plane_shows_every_schedule_and_floor_with_a_mark_of_its_own(tmp_path: Path) -> None:
    """Floors of one kind share a mark; two settings at one beta_eff say how far apart they are."""
    runs = [
        *(made_run("docs", beta, kl=kl, reconstruction=20.0) for beta, kl in ((1, 3.0), (2, 1.0))),
        made_run("docs", 2, kl=1.5, reconstruction=20.5, kl_schedule="linear:0.5"),
        *(made_run("docs", 2, kl=kl, reconstruction=19.0, free_bits=kl / 8) for kl in (2.0, 4.0)),
        made_run("docs", 2, kl=5.0, reconstruction=16.0, capacity="5", kl_estimator="sample"),
    ]
    runs = [run | {"run_id": f"docs-{number}"} for number, run in enumerate(runs)]
    store = results_of(tmp_path, runs)
    (plane,) = planes(store.summary())
    drawn = rate_distortion(plane, series_of(["docs"]))
    (axes,) = drawn.figure.axes
    marks = {line.get_label(): (line.get_color(), line.get_marker()) for line in axes.lines}
    assert list(marks) == ["constant", "free_bits latent", "linear:0.5", "sample, capacity"]
    assert len(set(marks.values())) == 4
    assert sum(len(line.get_xdata()) for line in axes.lines) == len(runs)
    assert drawn.reading == (
        "Each objective has a mark of its own, and their KL goes from 1.00 to 5.00 nats. At one "
        "beta_eff two of them are up to 8.00 nats apart: constant and sample, capacity at 2."
    )


def test_no_two_of_many_series_look_alike() -> None:
    """The ninth has the colour of the first, and another marker."""
    assert len({mark(number) for number in range(64)}) == 64


def test_weights_are_told_to_four_digits(tmp_path: Path) -> None:
    """In every sentence that names a beta_eff or a beta that was computed."""
    runs = [made_run("docs", beta, elbo=-20.0 - beta) for beta in (0.123456, 2.123456)]
    other = [made_run("blog", beta / 32, elbo=-29.0) for beta in (0.123456, 2.123456)]
    series = series_of(["docs", "blog"])
    one, two = case_of(tmp_path / "one", runs), case_of(tmp_path / "two", [*runs, *other])
    assert " at beta_eff 0.1235 to " in rate_distortion(one, series).reading
    assert rate_distortion(one, series).reading.endswith(" at 2.123.")
    assert elbo_against(one, series, "beta_eff").reading.endswith(" at beta_eff 0.1235.")
    assert elbo_against(two, series, "beta_eff").reading.endswith(", at beta_eff 0.1235.")
    store = results_of(tmp_path / "three", runs)
    drawing = learning_curves(one, store.runs(), history_of(runs), series)
    assert drawing is not None
    assert " docs at beta 0.1235 ends " in drawing.reading
    three = [made_run(loss, 1.123456, k=3) for loss in ("docs", "blog")]
    first, *_ = answer(summary_of(tmp_path / "four", three), NO_THRESHOLDS)
    assert "beta 1.123456 is a beta_eff of 1.123 for docs and of 23.97 for blog" in first


# The answer.


def test_the_first_sentence_says_whether_the_losses_are_the_same(tmp_path: Path) -> None:
    """Of blog and docs no, with beta_eff, ELBO, interval and collapsed runs; where k is d yes."""
    runs = [
        *(made_run("docs", 1.0, seed, elbo=-20.0 + seed) for seed in range(2)),
        *(made_run("blog", 1.0, seed, elbo=-24.0, collapsed=seed == 0) for seed in range(3)),
    ]
    first, *_ = answer(summary_of(tmp_path / "no", runs), NO_THRESHOLDS)
    assert first == (
        "No, not the same loss up to a factor: on digits, bce, d 64, k 2, beta 1 is a beta_eff "
        "of 1 for docs and of 32 for blog; docs reaches an ELBO of -19.50 ± 6.35 nats, blog "
        "reaches an ELBO of -24.00 ± 0.00 nats (1 of 3 runs collapsed)."
    )
    square = [made_run(loss, 1.0, d=64, k=64, elbo=-20.0) for loss in ("docs", "blog")]
    first, *_ = answer(summary_of(tmp_path / "yes", square), NO_THRESHOLDS)
    assert first == (
        "Yes, the same up to a factor: on digits, bce, d 64, k 64, beta 1 is a beta_eff of 1 for "
        "docs and of 1 for blog; docs reaches an ELBO of -20.00 nats, blog reaches an ELBO of "
        "-20.00 nats."
    )


@pytest.mark.parametrize(("beta", "of_blog", "same"), [(1e-6, 3.2e-5, "No"), (1.0, 32.0, "No")])
def test_losses_are_the_same_only_if_their_beta_eff_is(
    tmp_path: Path, beta: float, of_blog: float, same: str
) -> None:
    """However small it is; but for rounding, however large."""
    runs = [made_run(loss, beta) for loss in ("docs", "blog")]
    assert runs[1]["beta_eff"] == pytest.approx(of_blog)
    assert answer(summary_of(tmp_path, runs), NO_THRESHOLDS)[0].startswith(same)
    runs[0] |= {"beta_eff": 1e6}
    runs[1] |= {"beta_eff": 1e6 * (1 + 1e-12)}
    assert answer(summary_of(tmp_path, runs), NO_THRESHOLDS)[0].startswith("Yes")


def test_the_second_sentence_speaks_of_every_case_with_a_shared_beta_eff(tmp_path: Path) -> None:
    """Bce first; the pairs are counted over the cases, the largest distance is told."""
    mse = [run | {"elbo": -40.0} for run in grid_of(kinds=("mse",), betas=(0.5,), n_seeds=1)]
    twin = made_run("blog", 0.5 / 32, kind="mse", elbo=-40.25)
    summary = summary_of(tmp_path / "two", [*mse, twin, *equal_weights(0.125)])
    assert answer(summary, NO_THRESHOLDS)[0].startswith("At the same beta_eff they train the same")
    assert answer(summary, NO_THRESHOLDS)[0] == (
        "At the same beta_eff they train the same VAE: over 2 pairs of settings (digits, bce, "
        "d 64, k 2; digits, mse, d 64, k 2) the mean ELBOs are at most 0.25 nats apart."
    )
    apart = summary_of(tmp_path / "apart", equal_weights(-0.31))
    assert answer(apart, NO_THRESHOLDS)[0] == (
        "At the same beta_eff the mean ELBOs are up to 0.31 nats apart, over 1 pair of settings "
        "(digits, bce, d 64, k 2)."
    )


KNOWN = (
    "Whether a model collapses is known before training, from beta_eff and the data's threshold "
    "t_1: {} of {} settings collapsed, and the prediction was right in {}{}."
)


def test_the_last_sentence_counts_where_the_prediction_was_right(tmp_path: Path) -> None:
    """Settings at or past t_1 are predicted to collapse; the wrong ones are placed."""

    def said(name: str, runs: list[Facts], thresholds: pd.DataFrame = NO_THRESHOLDS) -> str:
        return answer(summary_of(tmp_path / name, runs), thresholds)[-1]

    alone = {"losses": ("docs",), "n_seeds": 2}
    right = grid_of(betas=(1.0, 3.3187, 9.0), **alone)
    assert said("right", right) == KNOWN.format(2, 3, 3, "")
    wrong = [run | {"collapsed": run["beta"] != 9.0} for run in right]
    wrongly = " (the others are at 0.30 to 2.71 times t_1)"
    assert said("wrong", wrong) == KNOWN.format(2, 3, 1, wrongly)
    half = [run | {"collapsed": run["seed"] == 0} for run in right]  # one of two is a half
    assert said("half", half) == KNOWN.format(3, 3, 2, " (the others are at 0.30 times t_1)")
    found = pd.DataFrame({"ratio": [0.954, 1.02]})
    told = "; the measured threshold is 0.95 to 1.02 times the predicted one in 2 cases"
    assert said("measured", right, found) == KNOWN.format(2, 3, 3, told)
    unknown = [run | {"threshold": None} for run in right]
    assert answer(summary_of(tmp_path / "unknown", unknown), NO_THRESHOLDS) == []
    one = [run for run in unknown if run["beta"] != 1.0] + right[:2]
    assert said("one", one) == KNOWN.format(0, 1, 1, "").replace("settings", "setting")


# KL, active units, the sweep over d and the thresholds.


@pytest.mark.parametrize(
    ("betas", "wrong", "said"),
    [
        ((1.0, 2.0), (), "3.32: 0 of 2 settings are past it, and none collapsed."),
        ((1.0, 4.0), (), "3.32: 1 of 2 settings is past it, and exactly this one collapsed."),
        ((1.0, 4.0, 9.0), (), "3.32: 2 of 3 settings are past it, and exactly these collapsed."),
        ((3.3187, 1.0), (), "3.32: 1 of 2 settings is past it, and exactly this one collapsed."),
        (
            (1.0, 4.0, 9.0),
            (4.0,),
            "3.32: 2 of 3 settings are past it, and 2 of 3 did as predicted; the others have a "
            "beta_eff of 1.21 times the threshold.",
        ),
        (
            (1.0, 4.0, 9.0),
            (1.0, 9.0),
            "3.32: 2 of 3 settings are past it, and 1 of 3 did as predicted; the others have a "
            "beta_eff of 0.30 to 2.71 times the threshold.",
        ),
    ],
)
def test_where_the_kl_vanishes_is_told(
    tmp_path: Path, betas: tuple[float, ...], wrong: tuple[float, ...], said: str
) -> None:
    """How many settings are past the threshold, and whether exactly these collapsed."""
    runs = grid_of(losses=("docs",), betas=betas, n_seeds=1)
    for run in runs:
        run["collapsed"] = (run["beta"] >= 3.3187) != (run["beta"] in wrong)
    drawing = kl_and_active_units(case_of(tmp_path, runs), series_of(["docs"]))
    assert drawing.reading == f"Theory puts the collapse at beta_eff {said}"


def test_a_d_sweep_needs_two_sizes_and_a_shared_beta(tmp_path: Path) -> None:
    """It is drawn at the k with the most d; without a beta that two losses share there is none."""

    def readings(name: str, runs: list[Facts]) -> list[str]:
        summary = summary_of(tmp_path / name, runs)
        return [drawing.reading for drawing in d_sweeps(summary, series_of(losses_of(summary)))]

    sizes = ((64, 2), (16, 8), (64, 8))
    (told,) = readings("k 8", grid_of(sizes=sizes, betas=(1.0, 2.0), n_seeds=1))
    assert told.startswith("From d 16 to 64 at beta 1 the threshold goes from 0.585 to 3.32, and ")
    assert "that of docs stays 1 (1 of 2 collapsed)" in told
    assert "that of blog goes from 2 to 8 (2 of 2 collapsed)" in told
    assert readings("one d", grid_of(sizes=((64, 2), (64, 8)), n_seeds=1)) == []
    assert readings("one loss", grid_of(sizes=sizes, losses=("docs",), n_seeds=1)) == []
    apart = grid_of(losses=("docs",), betas=(1.0,), sizes=sizes, n_seeds=1)
    assert readings("no shared beta", [*apart, made_run("blog", 2.0, d=16, k=8)]) == []


def test_measured_thresholds_lie_beside_the_diagonal() -> None:
    """Each kind has its own mark, at its two numbers; the sentence has range and ratios."""
    table = pd.DataFrame(
        {
            "dataset": ["digits", "/somewhere/my.npz", "digits"],
            "reconstruction_loss": ["mse", "bce", "bce"],
            "predicted": [1.0, 2.0, 4.0],
            "measured": [0.97, 2.0, 4.08],
            "ratio": [0.97, 1.0, 1.02],
        }
    )
    drawing = measured_against_predicted(table)
    assert drawing.reading == (
        "In 3 cases of digits, my.npz, from beta_eff 1.00 to 4.00, the measured threshold is "
        "0.97 to 1.02 times the predicted one."
    )
    (axes,) = drawing.figure.axes
    diagonal, bce, mse = axes.lines
    np.testing.assert_allclose(diagonal.get_xdata(), [0.97 / 1.3, 4.08 * 1.3])
    np.testing.assert_array_equal(*diagonal.get_data())
    assert [*map(list, bce.get_data())] == [[2.0, 4.0], [2.0, 4.08]]
    assert [*map(list, mse.get_data())] == [[1.0], [0.97]]
    assert [line.get_label() for line in (bce, mse)] == ["bce", "mse"]
    assert bce.get_marker() != mse.get_marker()
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


# Learning curves.


def test_bands_belong_to_the_runs_at_one_beta_and_converted_runs_are_dashed(
    tmp_path: Path,
) -> None:
    """Docs and blog at beta 1 have their intervals; blog at docs' beta_eff is a dashed line."""
    runs = [*seeds_of("docs", 3), *seeds_of("blog", 3), *seeds_of("blog", 3, beta=1 / 32)]
    store = results_of(tmp_path, runs)
    (case,) = cases(store.summary())
    history = history_of(runs)
    drawing = learning_curves(case, store.runs(), history, series_of(["docs", "blog"]))
    assert drawing is not None
    (axes,) = drawing.figure.axes
    looks = [(line.get_label(), line.get_linestyle()) for line in axes.lines]
    assert looks == [("docs, beta 1", "-"), ("blog, beta 1", "-"), ("blog, beta 0.03125", "--")]
    assert len(axes.collections) == 2
    for line, band, some in zip(axes.lines, axes.collections, (runs[:3], runs[3:6]), strict=False):
        last = np.array([run["elbo"] for run in some], float)
        half_width = 4.302653 * last.std(ddof=1) / np.sqrt(3)  # t of two degrees of freedom
        assert line.get_ydata()[-1] == pytest.approx(last.mean())
        x, y = band.get_paths()[0].vertices.T
        assert y[x == 200].min() == pytest.approx(last.mean() - half_width)
        assert y[x == 200].max() == pytest.approx(last.mean() + half_width)
    assert drawing.reading.startswith("After 200 epochs docs at beta 1 ends at ")
    assert " blog at beta 0.03125 (beta_eff 1) ends at " in drawing.reading


def test_without_a_shared_beta_the_run_nearest_to_one_is_drawn(tmp_path: Path) -> None:
    """A single run has no interval; without a history there is no figure; levels stay level."""
    runs = [made_run("docs", beta, elbo=-20.0) for beta in (0.25, 1.5, 4.0)]
    store = results_of(tmp_path, runs)
    (case,) = cases(store.summary())
    series = series_of(["docs"])
    history = history_of(runs)
    drawing = learning_curves(case, store.runs(), history, series)
    assert drawing is not None
    assert drawing.reading == "After 200 epochs docs at beta 1.5 ends at -20.00 nats."
    assert learning_curves(case, store.runs(), history.head(0), series) is None
    level = learning_curves(case, store.runs(), history.assign(elbo=-20.0), series)
    assert level is not None
    assert level.figure.axes[0].get_ylim() == pytest.approx((-20.25, -19.75))


def test_the_first_tenth_of_a_curve_does_not_flatten_the_rest(tmp_path: Path) -> None:
    """Of ten points the first is left out of the limits, of nine none; the rest has a margin."""
    run = made_run("docs", 1.0)
    store = results_of(tmp_path, [run])
    (case,) = cases(store.summary())
    for n, low in ((10, -20.0), (9, -90.0), (20, -20.0), (19, -90.0)):
        fallen = [-90.0] * (n // 10 or 1) + [-20.0] * (n - 1 - (n // 10 or 1)) + [-10.0]
        if n == 19:
            fallen[1] = -90.0
        history = pd.DataFrame({"run_id": run["run_id"], "epoch": range(1, n + 1), "elbo": fallen})
        history["kl_weight"] = float("nan")
        drawing = learning_curves(case, store.runs(), history, series_of(["docs"]))
        assert drawing is not None
        margin = 0.08 * (-10.0 - low)
        assert drawing.figure.axes[0].get_ylim() == pytest.approx((low - margin, -10.0 + margin))


# Cases.


def test_losses_stand_in_one_order() -> None:
    """The two of the question first, then by name; only those that are there."""
    of = pd.DataFrame({"loss": ["zeta", "blog", "alpha", "docs", "blog"]})
    assert losses_of(of) == ["docs", "blog", "alpha", "zeta"]
    assert losses_of(of.head(1)) == ["zeta"]


def test_settings_that_never_ended_well_are_not_measured() -> None:
    """One seed is enough."""
    assert list(
        measured(pd.DataFrame({"n_seeds": [0, 1, 3], "final_beta_eff": 1.0}))["n_seeds"]
    ) == [1, 3]


def test_every_kind_of_data_has_a_slug_of_its_own() -> None:
    """Named for the data only where there are several; fit for a file name, and never taken."""
    names = ["digits", "a/my data.npz", "b/my-data.npz", "x/***.npz", "y" * 60]
    table = pd.DataFrame({"dataset": names, "reconstruction_loss": "bce"})
    assert [slug for slug, _ in by_data(table)] == [
        *("digits-bce", "my_data-bce", "my_data-bce_", "data-bce", "y" * 40 + "-bce"),
    ]
    assert [slug for slug, _ in by_data(table.head(1))] == ["bce"]
    assert [shown_dataset(name) for name in ("a/b.npz", "digits", "/")] == ["b.npz", "digits", "/"]


def test_the_best_covered_size_is_the_case(tmp_path: Path) -> None:
    """Most settings; then the larger d; then the smaller k. Rows are in the order of beta_eff."""

    def size(name: str, runs: list[Facts]) -> tuple[int, int]:
        case = case_of(tmp_path / name, runs)
        return case.d, case.k

    one = {"n_seeds": 1, "losses": ("docs",)}
    small = grid_of(sizes=((16, 8),), betas=(1.0, 2.0, 3.0), **one)
    large = grid_of(sizes=((64, 8), (64, 2)), betas=(2.0, 1.0), **one)
    assert size("most", small + large) == (16, 8)
    assert size("larger d, smaller k", small[:2] + large) == (64, 2)
    case = case_of(tmp_path / "order", grid_of(betas=(2.0, 1.0), n_seeds=1))
    assert list(case.rows["beta_eff"]) == [1.0, 2.0, 32.0, 64.0]
    assert case.label == "digits, bce, d 64, k 2"
    assert case.threshold == 3.3187
    assert case_of(tmp_path / "single", [made_run("docs")]).threshold == 3.3187


def test_the_shared_beta_is_the_one_nearest_to_1_that_most_losses_have() -> None:
    """More losses go before nearness; of two that are equally near it is the smaller."""

    def shared(**betas: list[float]) -> float | None:
        rows = [(loss, beta) for loss, values in betas.items() for beta in values]
        return shared_beta(pd.DataFrame(rows, columns=["loss", "beta"]))

    assert shared(a=[0.5, 1.0], b=[0.5, 1.0]) == 1.0
    assert shared(a=[0.5, 1.0], b=[0.5, 1.0], c=[0.5]) == 0.5
    assert shared(a=[0.5, 1.5, 4.0], b=[4.0, 0.5, 1.5]) == 0.5
    assert shared(a=[1.0, 1.0], b=[2.0]) is None


# How figures look.


def test_axes_are_logarithmic_with_plain_numbers_where_values_allow() -> None:
    """Zero has a place of its own; one value, or none above zero, leaves an axis linear."""
    for values, scale in (
        ([0.1, 1.0], "log"),
        ([0.0, 0.1, 1.0], "symlog"),
        ([1.0, 1.0], "linear"),
        ([0.0, 1.0], "linear"),
    ):
        for name in ("x", "y"):
            axes = figure().add_subplot()
            axes.plot(values, values)
            log_axis(axes, name, values)
            other = "y" if name == "x" else "x"
            assert getattr(axes, f"get_{name}scale")() == scale
            assert getattr(axes, f"get_{other}scale")() == "linear"
            if scale != "linear":
                formatter = getattr(axes, f"{name}axis").get_major_formatter()
                assert [formatter(value, 0) for value in (0.01, 100.0)] == ["0.01", "100"]


def test_a_narrow_axis_has_more_ticks() -> None:
    """Below a factor of 30 between the values there are ticks at 2 and 5, too."""
    for largest, ticks in ((29.0, {2.0, 5.0}), (31.0, set())):
        axes = figure().add_subplot()
        axes.plot([1.0, largest], [1.0, 1.0])
        log_axis(axes, "x", [1.0, largest])
        assert {2.0, 5.0} & set(axes.get_xticks().round(6)) == ticks
        assert len(axes.xaxis.get_minorticklocs()) == 0


@pytest.mark.parametrize(
    ("labels", "n_columns"),
    [
        (["docs", "blog"], 3),
        (["x" * 16, "x" * 16, "x" * 12], 3),  # 56 characters with their marks
        (["x" * 16, "x" * 16, "x" * 13], 2),
        (["x" * 24, "x" * 24], 3),
        (["x" * 24, "x" * 25], 1),
        (["x" * 70], 1),
    ],
)
def test_a_legend_has_as_many_columns_as_fit(labels: list[str], n_columns: int) -> None:
    """Three at most, one at least, each as wide as its longest label and a mark."""
    drawn = figure()
    axes = drawn.add_subplot()
    for label in labels:
        axes.plot([0, 1], label=label)
    legend(axes)
    (found,) = drawn.legends
    assert found._ncols == n_columns


def test_every_loss_has_a_look_of_its_own() -> None:
    """Eight losses differ in colour and in marker; only the first is large and open."""
    series = list(series_of([str(number) for number in range(9)]).values())
    assert len({one.colour for one in series[:8]}) == len({one.marker for one in series[:8]}) == 8
    assert (series[8].colour, series[8].marker) == (series[0].colour, series[1].marker)
    assert [one.is_open for one in series] == [True] + [False] * 8
    assert [one.size for one in series] == [8.0] + [4.5] * 8
