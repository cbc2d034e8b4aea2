"""A schedule of the weight on K from its key to the tables: what trains, and what is told of it."""

import io
import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import made_run
from made_summaries import grid_of, summary_of
from plain_loop import by_hand
from rich.console import Console
from small_runs import small_run

from lossbench import data
from lossbench.cli import main
from lossbench.columns import HISTORY, RUNS, SUMMARY
from lossbench.comparison import compare
from lossbench.console.prediction import prediction_tables
from lossbench.errors import ExperimentError
from lossbench.experiment import read, stacks
from lossbench.loss import SPELLINGS, schedule
from lossbench.nn.train import train_stack
from lossbench.prediction import predict
from lossbench.report.cases import against_theory, cases
from lossbench.report.charts import learning_curves
from lossbench.report.style import series_of
from lossbench.store import Store, measured_thresholds, rows_of
from lossbench.sweeping import plan, sweep

RESULTS = Path(__file__).parent.parent / "results"
N_TRAIN, EPOCHS = 80, 4  # five steps an epoch
# By hand: w at step t of 20.
WRITTEN = {
    "linear:1": lambda t: t / 19,
    "linear:0.5": lambda t: min(1.0, t / 9.5),
    "linear:2epochs": lambda t: min(1.0, (t // 5) / 2),
    "linear:8steps": lambda t: min(1.0, t / 8),
    "far:0.5:0.05": lambda t: 0.05 if t < 10 else 1.0,
    "far:3epochs:2": lambda t: 2.0 if t < 15 else 1.0,
    "far:7steps:0": lambda t: 0.0 if t < 7 else 1.0,
    "cyclical:2:0.5": lambda t: min(1.0, (t % 10) / 5),
}
RUNS_OF_A_STACK = [
    small_run("docs", 3.0, seed=seed, kl_schedule=text, epochs=EPOCHS)
    for seed, text in enumerate(WRITTEN)
]


# What trains.


def test_a_member_of_a_stack_is_a_plain_loop_with_its_own_weights_on_k() -> None:
    """After 20 steps every weight is that of the loop; history and metrics have w as it was."""
    images = data.load("digits", 16).train[:N_TRAIN]
    records = train_stack(RUNS_OF_A_STACK, 8, images, images)
    for run, record in zip(RUNS_OF_A_STACK, records, strict=True):
        for trained, written in zip(
            record.weights, by_hand(run, images, WRITTEN[run.kl_schedule]), strict=True
        ):
            assert np.abs(np.squeeze(trained) - np.squeeze(written)).max() < 1e-5, run.kl_schedule
        weight = WRITTEN[run.kl_schedule]
        ws = [weight(last) for last in (4, 9, 14, 19)]
        assert record.history["kl_weight"] == pytest.approx(ws, rel=1e-12)
        rows = zip(
            ws,
            *(record.history[name] for name in ("objective", "reconstruction", "kl")),
            strict=True,
        )
        for w, objective, reconstruction, kl in rows:
            assert objective == pytest.approx(run.a * reconstruction + run.b * w * kl, rel=1e-9)
        found = record.metrics
        assert found["objective"] == pytest.approx(
            run.a * found["reconstruction"] + run.b * ws[-1] * found["kl"], rel=1e-9
        )


def test_schedules_of_other_numbers_share_a_stack_and_the_constant_weight_has_its_own() -> None:
    """Whether a schedule runs is compiled in, not which; the plain history has no weight."""
    plain = small_run("docs", 3.0, epochs=EPOCHS)
    planned = stacks([*RUNS_OF_A_STACK, plain])
    assert [{run.kl_schedule for run in stack.runs} for stack in planned] == [
        set(WRITTEN),
        {"constant"},
    ]
    images = data.load("digits", 16).train[:N_TRAIN]
    (record,) = train_stack([plain], 8, images, images)
    assert "kl_weight" not in record.history


T_1 = 3.3211  # of digits with bce


@pytest.mark.slow
def test_just_below_the_threshold_only_a_far_start_is_active_in_few_epochs() -> None:
    """At 0.9 t_1 the usual start is collapsed; at 1.2 t_1 the far one collapses, too."""
    images = data.load("digits", 64)
    active = {}
    for text in ("constant", "far:0.4:0.02"):
        runs = [
            replace(
                small_run("docs", ratio * T_1, d=64, k=2, hidden=(64, 64, 64), seed=seed),
                optimizer="adam",
                learning_rate=1e-3,
                batch_size=128,
                epochs=80,
                eval_every=80,
                kl_schedule=text,
            )
            for ratio in (0.9, 1.2)
            for seed in range(4)
        ]
        records = train_stack(runs, 8, images.train, images.test)
        active[text] = [int(record.metrics["active_units"]) for record in records]
    assert active["constant"] == [0] * 8
    assert min(active["far:0.4:0.02"][:4]) >= 1
    assert active["far:0.4:0.02"][4:] == [0] * 4


# The key.


def ids(**overrides: str) -> list[str]:
    """Return the ids of one small experiment's runs."""
    asked = {"d": "64", "seeds": "1", "beta": "1"} | overrides
    return [run.run_id for run in read(overrides=asked).runs()]


def test_the_constant_weight_is_the_run_that_it_was_and_one_number_is_one_run() -> None:
    """Spelt out, empty or left out; 0.50 is 0.5; every other schedule is another run."""
    plain = ids()
    assert plain == ids(kl_schedule="constant")
    (run, *_) = read(overrides={"d": "64", "kl_schedule": "constant"}).runs()
    assert "kl_schedule" not in run.identity()
    assert ids(kl_schedule="linear:0.50") == ids(kl_schedule="linear:.5")
    others = [ids(kl_schedule=text) for text in ("linear:0.5", "linear:5epochs", "far:0.5:0.1")]
    assert len({tuple(found) for found in [plain, *others]}) == 4


def test_an_empty_text_is_the_convention_s_own(tmp_path: Path) -> None:
    """It is constant for all of them."""
    file = tmp_path / "mine.toml"
    file.write_text('[training]\nkl_schedule = ""\n[sweep]\nd = 64\n')
    assert {run.kl_schedule for run in read(file).runs()} == {"constant"}


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run one command in this process; return its exit code and what it printed, in one line."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["lossbench", *arguments])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, " ".join("".join(capsys.readouterr()).split())


BAD = {
    "linaer:0.5": [SPELLINGS, "did you mean 'linear'?"],
    "linear": ["too few parts", "expected: linear:F"],
    "linear:0.5:1": ["too many parts", "expected: linear:F"],
    "linear:1.5": ["above 0 and at most 1"],
    "linear:0": ["above 0 and at most 1"],
    "linear:-0.5": ["above 0 and at most 1"],
    "linear:nan": ["above 0 and at most 1"],
    "linear:0epochs": ["a count of at least 1"],
    "linear:2.5epochs": ["as in 400epochs or 5000steps"],
    "far:0.5:-0.1": ["a number of at least 0"],
    "far:0.5": ["expected: far:F:W0"],
    "linear:6epochs": ["longer than the training", "5 epochs of 11 steps", "try: a longer"],
    "cyclical:28:0.5": ["cycles of less than two steps", "try: at most 27 cycles, or a longer"],
    "cyclical:4:3epochs": ["a fraction above 0 and at most 1"],
    "cyclical:0:0.5": ["a whole number of at least 1"],
    "far:56steps:0.1": ["longer than the training", "5 epochs of 11 steps"],
}


@pytest.mark.parametrize(("text", "told"), BAD.items(), ids=BAD)
def test_a_schedule_that_cannot_be_is_refused_before_anything_is_trained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, told: list[str]
) -> None:
    """Exit 2 with the key, the line or the option, what was expected, and what was received."""
    file = tmp_path / "mine.toml"
    file.write_text(f'[training]\nepochs = 5\nkl_schedule = "{text}"\n')
    code, said = run_command(capsys, "sweep", str(file), "--out", str(tmp_path / "out"))
    assert code == 2, said
    for words in (f"{file}, line 3", "kl_schedule", text, *told):
        assert words.replace(" ", "") in said.replace(" ", ""), said
    file.write_text(f'[training]\nepochs = 5\n[sweep]\nkl_schedule = ["constant", "{text}"]\n')
    with pytest.raises(ExperimentError) as caught:
        predict(read(file))
    assert caught.value.where == f"{file}, line 4"
    file.write_text('[training]\nepochs = 5\nkl_schedule = "linear:0.5"\n')
    code, said = run_command(capsys, "sweep", str(file), "--kl-schedule", text)
    assert code == 2
    assert "--kl-schedule" in said
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_of_several_grids_the_one_with_the_long_schedule_is_named(tmp_path: Path) -> None:
    """The line is that of the value which is wrong."""
    file = tmp_path / "mine.toml"
    grids = "".join(
        f'[[sweep]]\nk = 2\nkl_schedule = "{text}"\n' for text in ("linear:201epochs", "linear:1")
    )
    file.write_text(grids)
    with pytest.raises(ExperimentError) as caught:
        predict(read(file))
    assert caught.value.where == f"{file}, line 3"


# The tables, and what is told.


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return the results of a small sweep over schedules that end at 1, at 0.25 and at 0."""
    folder = tmp_path_factory.mktemp("swept") / "out"
    overrides = {
        "d": "64",
        "k": "2",
        "beta": "1",
        "reconstruction_loss": "bce",
        "epochs": "2",
        "seeds": "1",
        "kl_schedule": "constant,linear:0.5,far:1:0.25,far:1:0",
    }
    sweep(plan(read(overrides=overrides), folder), n_workers=1)
    return Store(folder)


ENDS = {"constant": 1.0, "linear:0.5": 1.0, "far:1:0.25": 0.25, "far:1:0": 0.0}


@pytest.mark.slow
def test_the_tables_hold_what_is_held_against_the_threshold(swept: Store) -> None:
    """beta_eff stays b/a; the last step's stands behind the old columns, and decides."""
    runs = swept.runs()
    columns = list(runs.columns)
    assert columns[columns.index("iwae") + 1 :][:2] == ["kl_schedule", "final_beta_eff"]
    for _, run in runs.iterrows():
        end = ENDS[run["kl_schedule"]]
        assert run["beta_eff"] == pytest.approx(run["b"] / run["a"], rel=1e-9)
        assert run["final_beta_eff"] == pytest.approx(run["beta_eff"] * end, rel=1e-9)
        collapses = run["final_beta_eff"] >= run["threshold"]
        assert (run["predicted_active_units"] == 0) == collapses
    # The blog's beta_eff is 32, beyond the threshold; a quarter of it is, too, and nothing is not.
    blog = runs[runs["loss"] == "blog"].set_index("kl_schedule")
    assert blog["predicted_active_units"].to_dict() == {
        "constant": 0,
        "far:1:0": 2,
        "far:1:0.25": 0,
        "linear:0.5": 0,
    }
    history = swept.history().merge(runs[["run_id", "kl_schedule"]])
    assert list(history.columns)[-2] == "kl_weight"
    last = history[history["epoch"] == 2].groupby("kl_schedule")["kl_weight"].first()
    assert last.fillna(-1).to_dict() == ENDS | {"constant": -1}
    summary = swept.summary().set_index(["loss", "kl_schedule"])
    assert summary["final_beta_eff"].to_dict() == {
        (loss, text): whole * end
        for loss, whole in (("blog", 32), ("docs", 1))
        for text, end in ENDS.items()
    }


@pytest.mark.slow
def test_a_comparison_pairs_by_seed_and_tells_the_schedule(
    swept: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the constant weight: another objective, of the same or of another last weight."""
    runs = swept.runs().assign(folder=str(swept.folder))

    def of(loss: str, text: str) -> pd.DataFrame:
        return runs[(runs["loss"] == loss) & (runs["kl_schedule"] == text)]

    same = compare(of("docs", "constant"), of("docs", "linear:0.5"))
    assert same.differing == {"kl_schedule": ("constant", "linear:0.5")}
    assert same.algebra.startswith(
        "A and B differ in kl_schedule (constant against linear:0.5) and end with the same "
        "objective, beta_eff 1. "
    )
    assert same.cells[0].facts()["relation"] == "rescheduled"
    assert same.cells[0].metrics["objective"].comparable
    assert same.cells[0].metrics["elbo"].comparable
    assert not any("last step" in note for note in same.notes)
    other = compare(of("docs", "constant"), of("docs", "far:1:0.25"))
    assert "beta_eff 1 against 0.25" in other.algebra
    assert any("beta_eff is that of the last step" in note for note in other.notes)
    plain = compare(of("blog", "constant"), of("docs", "constant"))
    assert "kl_schedule" not in plain.common
    code, said = run_command(capsys, "show", str(swept.folder))
    assert code == 0
    assert "linear:0.5" in said
    assert "beta_eff is that of the last step" in said


def test_old_tables_and_records_have_the_constant_weight() -> None:
    """Those of the first format lack the columns: beta_eff is held against the threshold."""
    store = Store(RESULTS.parent / "tests" / "results-format-1")
    text = (store.folder / "runs.csv").read_text().partition("\n")[0]
    for table, columns in ((store.runs(), RUNS), (store.summary(), SUMMARY)):
        assert list(table.columns) == [column.name for column in columns]
        assert set(table["kl_schedule"]) == {"constant"}
        assert table["final_beta_eff"].equals(table["beta_eff"].rename("final_beta_eff"))
    assert "kl_schedule" not in text
    history = store.history()
    assert list(history.columns) == [column.name for column in HISTORY]
    assert history["kl_weight"].isna().all()
    (record, *_) = store.records()
    assert "kl_schedule" not in record.settings
    row = dict(
        zip([column.name for column in RUNS], rows_of(record).run.strip().split(","), strict=True)
    )
    assert row["kl_schedule"] == "constant"
    assert row["final_beta_eff"] == row["beta_eff"]


def test_figures_hold_the_last_weight_against_the_threshold_and_draw_w(tmp_path: Path) -> None:
    """A grid that ends at half its weights: the half is drawn and judged, w under the curves."""
    runs = [
        run | {"kl_schedule": "far:1:0.5", "final_beta_eff": float(str(run["beta_eff"])) / 2}
        for run in grid_of(betas=(0.5, 1.0, 4.0))
    ]
    summary = summary_of(tmp_path, runs)
    (case,) = cases(summary)
    assert case.rows["beta_eff"].tolist() == [x / 2 for x in (0.5, 1, 4, 16, 32, 128)]
    held = against_theory(case.rows)
    assert (held.n_settings, held.n_past) == (6, 3)
    store, series = Store(tmp_path), series_of(["docs", "blog"])
    history = store.history()
    for weights, n_panels in ((0.5, 2), (float("nan"), 1)):
        drawing = learning_curves(case, store.runs(), history.assign(kl_weight=weights), series)
        assert drawing is not None
        panels = drawing.figure.axes
        assert len(panels) == n_panels
        assert panels[-1].get_xlabel() == "epoch"
        if n_panels == 2:
            assert set(panels[1].lines[0].get_ydata()) == {0.5}
            assert "0.5 over the whole of training" in drawing.reading


def test_a_measured_threshold_is_one_of_last_weights(tmp_path: Path) -> None:
    """Where the KL falls from 0.03 to 0.01 between 2 and 2.2, w being a half, it is near 1.05."""
    kls = {1.0: 0.5, 2.0: 0.03, 2.2: 0.01, 4.0: 0.0}
    runs = [
        made_run("docs", beta, seed, kl_schedule="far:1:0.5", final_beta_eff=beta / 2) | {"kl": kl}
        for beta, kl in kls.items()
        for seed in range(2)
    ]
    (found,) = measured_thresholds(summary_of(tmp_path, runs)).to_dict("records")
    assert found["measured"] == pytest.approx((2 * 2.2) ** 0.5 / 2 * math.exp(0.04), rel=1e-6)
    assert found["kl_schedule"] == "far:1:0.5"


# What is told before training.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "linear:0.5",
            "linear:0.5: from 0 to 1 over the first 50% of training; 1 at the last step",
        ),
        ("linear:1", "linear:1: from 0 to 1 over the whole of training; 1 at the last step"),
        ("linear:4epochs", "one value an epoch; 0.75 at the last step, so never 1"),
        ("far:1:0.1", "0.1 over the whole of training, then 1; 0.1 at the last step, so never 1"),
    ],
)
def test_a_dry_run_and_a_prediction_tell_the_weight_at_the_last_step(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, told: str
) -> None:
    """And the prediction holds it against t_1."""
    file = tmp_path / "mine.toml"
    file.write_text(f'[training]\nepochs = 4\nkl_schedule = "{text}"\n[sweep]\nd = 64\n')
    code, said = run_command(capsys, "sweep", str(file), "--dry-run")
    assert code == 0
    assert f"w of {text}: " in said
    assert told in said
    prediction = predict(read(file))
    w = schedule(text).last_weight(44, 11)
    for found in prediction.settings:
        assert found.final_beta_eff == pytest.approx(found.run.beta_eff * w)
        assert found.collapses == (found.final_beta_eff >= found.threshold)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(prediction_tables(prediction, console))
    printed = re.sub(r"\s+", " ", console.export_text())
    assert told in printed
    assert ("beta_eff is that of the last step" in printed) == (w != 1)
    facts = json.loads(json.dumps([found.facts() for found in prediction.settings]))
    assert {each["kl_schedule"] for each in facts} == {text}
