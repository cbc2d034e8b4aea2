"""A prediction over any axis of the grid: rows say what differs, sentences what they hold for."""

import io
import itertools
import json
import re
from pathlib import Path

import pytest
from rich.console import Console
from test_cli import run as cli

from lossbench.columns import SETTING_COLUMNS
from lossbench.console.prediction import prediction_tables
from lossbench.experiment import read
from lossbench.prediction import Prediction, predict

PLAIN = {"dataset": "digits", "d": "16", "k": "2", "beta": "1", "loss": "docs"}
PLAIN |= {"reconstruction_loss": "mse", "hidden": "64", "seeds": "1"}
AXES = {
    "dataset": "digits,patches",
    "loss": "docs,blog",
    "reconstruction_loss": "bce,mse",
    "beta": "1,2",
    "d": "4,16",
    "k": "2,3",
    "hidden": "64,linear,64x32",
    "network": "dense,conv,keras-io-conv",
    "filters": "8,8x16",
    "kernel_size": "3,5",
    "epochs": "5,6",
    "batch_size": "32,64",
    "optimizer": "adam,sgd",
    "learning_rate": "0.001,0.002",
    "noise_std": "0.5,1,2",
    "learning_rate_decay": "0.5,1",
    "epsilon": "1e-05,1e-06",
    "eval_every": "1,2",
    "kl_schedule": "constant,linear:0.5,far:1:0.5",
    "iwae_samples": "0,10",
    "free_bits": "0,0.5,2",
    "free_bits_over": "latent,latent_example,total,total_example",
    "capacity": "0,2,25:0.5",
    "kl_estimator": "closed,sample",
    "sigma": "0.5,1,2",
    "log_sigma_floor": "-6,-4",
    "scale": "auto,unit",
    "output": "auto,identity",
    "dispersion": "1,2",
    "groups": "4," + "+".join(f"{first}-{first + 3}" for first in range(1, 65, 4)),
}
HAVE = {
    "filters": {"network": "conv"},
    "kernel_size": {"network": "conv"},
    "output": {"reconstruction_loss": "mse"},
    "log_sigma_floor": {"reconstruction_loss": "gaussian", "sigma": "learned"},
    "free_bits_over": {"free_bits": "0.5"},
    "sigma": {"reconstruction_loss": "gaussian"},
    "dispersion": {
        "reconstruction_loss": "negative_binomial",
        "dataset": "digits_counts",
        "d": "64",
    },
    "groups": {"reconstruction_loss": "categorical", "dataset": "digits_levels", "d": "64"},
}  # what has a parameter
PER_BATCH = "antixk-pytorch-vae-2020"  # its weight depends on the batch size
SENTENCE = re.compile(
    r"(?P<loss>\S+)(?: at (?P<where>.*?))? collapses (?P<what>from beta .*|at no beta.*)"
)


def predicted(**options: str) -> Prediction:
    """Return the prediction for one plain setting with options in place of its keys."""
    return predict(read(None, PLAIN | options))


def shown(prediction: Prediction, width: int = 160) -> list[str]:
    """Return the lines that a terminal of that width shows."""
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(prediction_tables(prediction, console))
    return [line.rstrip() for line in console.export_text().splitlines()]


def rows(lines: list[str]) -> list[tuple[str, ...]]:
    """Return the cells of every row, with what stands above its table."""
    found, heading = [], ""
    for line in lines:
        heading = line if re.match(r"\w+, d \d+", line) else heading
        if line.endswith(("  yes", "  no")):
            found.append((heading, *line.split()))
    return found


def test_every_axis_of_a_grid_is_tried() -> None:
    """An axis that is added tomorrow is one of a prediction's facts, and of these tests."""
    assert set(AXES) == set(SETTING_COLUMNS)
    (found,) = (each.facts() for each in predicted().settings)
    assert set(SETTING_COLUMNS) <= set(found)


@pytest.mark.parametrize("name", AXES)
def test_rows_show_the_axis_that_differs(name: str) -> None:
    """No two rows look alike, and each value stands in one of them."""
    values = AXES[name].split(",")
    prediction = predicted(**HAVE.get(name, {}), **{name: AXES[name]})
    assert len(prediction.settings) == len(values)
    found = rows(shown(prediction, 240))
    assert len(set(found)) == len(values)
    for value in values:
        told = [row for row in found if value in " ".join(row).split()]
        assert told or any(value in row[0] for row in found), value


def test_a_narrow_terminal_loses_no_axis() -> None:
    """Where a table would be too wide its rows stand below the name of their model."""
    axes = ("hidden", "epochs", "batch_size", "optimizer", "learning_rate", "noise_std")
    prediction = predicted(**{name: AXES[name] for name in axes})
    lines = shown(prediction, 80)
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    titles = re.findall(", ".join(rf"{name} \S+" for name in axes), " ".join(lines))
    assert len(titles) == len(set(titles)) == len(prediction.settings) == 3 * 2 * 2 * 2 * 2 * 3


@pytest.mark.parametrize(
    ("kind", "d"),
    [("bce", 16), *(pytest.param(kind, 64, marks=pytest.mark.slow) for kind in ("bce", "mse"))],
)
def test_every_sentence_holds_for_all_that_it_speaks_of(kind: str, d: int) -> None:
    """For every setting of that loss at the values that it names, whatever its beta."""
    prediction = predicted(
        d=str(d),
        k="1,2,3,5,8,13,16",
        loss=f"blog,docs,{PER_BATCH}",
        beta="0.01,0.1,0.5,4",
        noise_std="0.5,1,2",
        batch_size="32,128",
        hidden="64,linear",
        reconstruction_loss=kind,
    )
    sentences = [found for line in shown(prediction, 400) if (found := SENTENCE.fullmatch(line))]
    spoken_of = 0
    for found in sentences:
        named = dict(re.findall(r"(noise_std|batch_size) ([\d.]+)", found["where"] or ""))
        betas = re.findall(r"from beta ([\d.e-]+) on(?: at k (\d+))?", found["what"])
        for beta, k in betas:
            meant = [
                setting
                for setting in prediction.settings
                if setting.run.loss == found["loss"]
                and (not k or setting.run.k == int(k))
                and all(getattr(setting.run, name) == float(value) for name, value in named.items())
            ]
            spoken_of += len(meant)
            assert all(s.collapses == (s.run.beta >= float(beta)) for s in meant)
    assert spoken_of == len(prediction.settings) == 3 * 3 * 2 * 2 * 7 * 4


def test_a_sentence_names_what_it_depends_on_and_nothing_else() -> None:
    """One sentence where it holds for every value; the thresholds say for which noise they are."""
    axes = {"d": "64", "loss": f"docs,{PER_BATCH}", "hidden": "64,linear", "batch_size": "8,512"}
    lines = shown(predicted(**axes))
    told = [line for line in lines if SENTENCE.fullmatch(line)]
    assert [line.split()[0] for line in told] == [PER_BATCH, PER_BATCH, "docs"]
    assert [("batch_size" in line, "noise_std" in line) for line in told] == [
        (True, False),
        (True, False),
        (False, False),
    ]
    assert any(line.startswith("thresholds t_1, t_2, ... 1.") for line in lines)
    for noise in ("0.5", "0.5,1"):
        moved = shown(predicted(d="64", noise_std=noise))
        assert any(line.startswith("thresholds t_1, t_2, ... at noise_std 1: 1.") for line in moved)
    (alone,) = [line for line in shown(predicted(d="64", noise_std="0.5")) if " from " in line]
    assert alone == "docs at noise_std 0.5 collapses from beta 5.582 on"


def test_a_grid_without_beta_1_is_told_in_its_own_betas() -> None:
    """No sentence speaks of another beta, and k stands where the weight depends on it."""
    axes = {"d": "64", "loss": "blog,docs", "reconstruction_loss": "bce"}
    lines = shown(predicted(**axes, k="1,2", beta="0.5,4"))
    assert [line for line in lines if SENTENCE.fullmatch(line)] == [
        "blog collapses from beta 0.05189 on at k 1 and from beta 0.1038 on at k 2",
        "docs collapses from beta 3.321 on",
    ]
    assert not any("beta 1" in line for line in lines)


def test_seeds_are_no_settings_of_their_own() -> None:
    """Nothing that is predicted depends on them."""
    assert len(predicted(seeds="5").settings) == 1


def test_json_has_every_setting_of_a_row(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The same facts as the table, each with the values that it is for."""
    file = tmp_path / "axes.toml"
    file.write_text("[sweep]\nd = [16]\nnoise_std = [0.5, 1]\nbatch_size = [32, 64]\n")
    code, out, _ = cli(capsys, "predict", str(file), "--json")
    assert code == 0
    facts = json.loads(out)
    pairs = set(itertools.product((0.5, 1.0), (32, 64)))
    assert {(row["noise_std"], row["batch_size"]) for row in facts["settings"]} == pairs
    (thresholds,) = facts["thresholds"]
    for loss in ("blog", "docs"):
        own = [row for row in thresholds["critical"] if row["loss"] == loss]
        assert {(row["noise_std"], row["batch_size"]) for row in own} == pairs
        assert len({row["beta"] for row in own if row["noise_std"] == 0.5}) == 1
