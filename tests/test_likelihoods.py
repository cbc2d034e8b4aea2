"""Likelihoods from the command to the tables: what is asked, refused, predicted and reported."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from test_cli import run as cli

from lossbench import theory
from lossbench.console.prediction import prediction_tables
from lossbench.data import load, refuse_misfit
from lossbench.errors import DataError, ExperimentError
from lossbench.experiment import read
from lossbench.loss import LIKELIHOODS, Likelihood, likelihood
from lossbench.prediction import Prediction, predict
from lossbench.settings import RunSettings

COUNTS = {"dataset": "digits_counts", "d": "64", "k": "2", "loss": "docs", "beta": "1"}
LEVELS = COUNTS | {"dataset": "digits_levels", "reconstruction_loss": "categorical"}
GREY = COUNTS | {"dataset": "digits"}


def predicted(**options: str) -> Prediction:
    """Return the prediction for options in place of the default experiment's keys."""
    return predict(read(None, options))


def shown(found: Prediction) -> str:
    """Return what a wide terminal shows."""
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(prediction_tables(found, console))
    return console.export_text()


def runs(**options: str) -> tuple[RunSettings, ...]:
    """Return the runs of options in place of the default experiment's keys."""
    return read(None, {"seeds": "1", **options}).runs()


@pytest.mark.parametrize(
    ("options", "t_1"),
    [
        (COUNTS | {"reconstruction_loss": "poisson"}, 35.1575),
        (COUNTS | {"reconstruction_loss": "negative_binomial", "dispersion": "2"}, 18.4611),
        (COUNTS | {"reconstruction_loss": "multinomial"}, 35.1573),
        (LEVELS | {"groups": "4"}, 2.71172),
        (GREY | {"reconstruction_loss": "gaussian", "sigma": "0.5"}, 2.79082),
    ],
    ids=lambda options: options["reconstruction_loss"] if isinstance(options, dict) else "",
)
def test_thresholds_on_data_that_is_always_there(options: dict[str, str], t_1: float) -> None:
    """Those of the design to 5%, which kept a mean of 0.01 in rare pixels; categorical 2.71."""
    found = predicted(**options)
    assert found.thresholds[0].largest[0] == pytest.approx(t_1, rel=1e-4)
    assert found.settings[0].threshold == found.thresholds[0].largest[0]
    parameters = set(found.thresholds[0].parameters) - {"log_sigma_floor"}
    assert all(f"{name} " in shown(found) for name in parameters)
    assert "log_sigma_floor" not in shown(found)
    assert "no threshold" not in shown(found)


@pytest.mark.parametrize("kind", ["laplace", "continuous_bernoulli"])
def test_a_likelihood_without_a_threshold_says_so(kind: str) -> None:
    """R_0 is told, and nothing that would rest on a threshold."""
    found = predicted(**GREY, reconstruction_loss=kind)
    (setting,) = found.settings
    assert (setting.threshold, setting.predicted_active_units) == (None, None)
    assert (setting.collapses, setting.kl_guess, setting.beta_eff_over_threshold) == (None,) * 3
    text = shown(found)
    assert f"no threshold is told: {LIKELIHOODS[kind].no_threshold}" in text
    assert "R_0 = " in text
    assert "collapses for" not in text


def test_the_levels_are_one_hot_and_the_counts_whole() -> None:
    """The built-in data sets are what their likelihoods take."""
    names = ("digits_counts", "digits_levels", "digits")
    counts, levels, grey = (load(name, 64, scale="none") for name in names)
    np.testing.assert_array_equal(counts.train, grey.train * 16)
    assert levels.train.reshape(len(levels.train), 16, 4).sum(axis=2).min() == 1
    assert set(np.unique(levels.test)) == {0, 1}
    assert not counts.train.flags.writeable


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            GREY | {"reconstruction_loss": "poisson"},
            ["training example 1, column 3", "whole numbers", "received: 0.0625", "gaussian"],
        ),
        (
            COUNTS | {"reconstruction_loss": "bce", "scale": "none"},
            ["values from 0 to 1", "poisson"],
        ),
        (
            COUNTS | {"reconstruction_loss": "mse", "scale": "none", "output": "sigmoid"},
            ["ends in a sigmoid", "output = identity"],
        ),
        (GREY | {"reconstruction_loss": "bce", "output": "identity"}, ["`output` is given", "mse"]),
        (
            GREY | {"reconstruction_loss": "mse", "scale": "standard"},
            ["digits, column 1:", "scale = unit"],
        ),
        (GREY | {"reconstruction_loss": "mse", "scale": "units"}, ["did you mean 'unit'"]),
        (LEVELS, ["groups = ''", "ranges of columns", "try: groups = 3 makes choices"]),
        (
            LEVELS | {"groups": "8"},
            ["training example 1, column 'pixel 1 level 1'", "a group with 2"],
        ),
        (
            GREY | {"reconstruction_loss": "laplace", "sigma": "learned"},
            ["the sigma of laplace is not learned", "gaussian learns its own"],
        ),
        (LEVELS | {"groups": "5"}, ["do not divide d = 64"]),
        (GREY | {"reconstruction_loss": "bce", "sigma": "0.5"}, ["`sigma` is given", "gaussian"]),
    ],
)
@pytest.mark.parametrize("command", ["predict", "sweep"])
def test_what_cannot_be_is_refused_before_training(
    command: str,
    options: dict[str, str],
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit 2: what, where, and what fits; nothing is written."""
    monkeypatch.chdir(tmp_path)
    asked = [part for name, x in options.items() for part in (f"--{name.replace('_', '-')}", x)]
    monkeypatch.setattr("sys.argv", [])
    code, _, complaint = cli(capsys, command, *asked)
    assert code == 2
    told = " ".join(complaint.split())
    assert all(word in told for word in words), told
    assert not list(tmp_path.iterdir())


def test_a_refusal_names_only_likelihoods_that_would_be_taken() -> None:
    """Of the network, too: what ends in a sigmoid is no way out for counts."""
    data = load("digits_counts", 64, scale="none")
    for output in ("sigmoid", "linear"):
        with pytest.raises(DataError) as caught:
            refuse_misfit(data, likelihood("bce"), "none", output)
        named = caught.value.remedy.removeprefix("reconstruction_loss = ")
        for name in named.replace(" or ", ", ").split(", "):
            refuse_misfit(data, likelihood(name), "none", output)
        assert ("mse" in named) == (output == "linear")


def test_a_parameter_belongs_to_the_likelihoods_that_have_it() -> None:
    """A grid over sigma has one run of each other likelihood, with the id that it always had."""
    found = runs(**GREY, reconstruction_loss="bce,gaussian", sigma="0.1,0.2")
    assert [(run.reconstruction_loss, run.sigma) for run in found] == [
        ("bce", 1.0),
        ("gaussian", 0.1),
        ("gaussian", 0.2),
    ]
    assert found[0].run_id == "docs-bce-beta1-d64-k2-seed0-b1ede040df"
    assert [run.likelihood for run in found[1:]] == [
        likelihood("gaussian").of(run) for run in found[1:]
    ]
    assert len({run.shape for run in found}) == 3


@pytest.mark.parametrize("kind", LIKELIHOODS.values(), ids=LIKELIHOODS)
def test_a_likelihood_takes_its_own_parameters_and_no_others(kind: Likelihood) -> None:
    """Every parameter is a setting, whose default is that of the class."""
    (run, *_) = runs(**GREY, reconstruction_loss=kind.name)
    assert kind.of(run) == kind == run.likelihood
    assert all(getattr(run, name) == getattr(kind, name) for name in kind.parameters)


@pytest.mark.parametrize("groups", ["1-3,4-8", "4-", "0", "-3", "four", "1-3+"])
def test_groups_that_are_none_are_refused(groups: str) -> None:
    """By the rule of the key; a comma would be two values of an axis."""
    with pytest.raises((ExperimentError, DataError), match="groups"):
        predicted(**LEVELS, groups=groups)


def _mixed_table(tmp_path: Path, colours: int = 3) -> str:
    """Write a table of two measures, a choice of three colours and a count."""
    rng = np.random.default_rng(0)
    choice = np.eye(colours)[rng.integers(colours, size=60)]
    rows = np.column_stack([rng.standard_normal((60, 2)), choice, rng.poisson(5, size=60)])
    np.savetxt(tmp_path / "mixed.csv", rows, delimiter=",", fmt="%.6g")
    return str(tmp_path / "mixed.csv")


MIXED = COUNTS | {"reconstruction_loss": "mixed", "d": "6"}
PARTS = "gaussian:1-2+categorical:3-5+poisson:6"


NAMED = "age,height,red,green,light-blue,visits"


def test_groups_go_by_the_names_of_columns(tmp_path: Path) -> None:
    """They are the places of columns in every table and id; a name may hold a dash."""
    path = Path(_mixed_table(tmp_path))
    path.write_text(NAMED + "\n" + path.read_text())
    asked = MIXED | {"dataset": str(path), "seeds": "1"}
    named = "gaussian: age-height + categorical:red-light-blue+poisson:visits"
    assert predicted(**asked, groups=named) == predicted(**asked, groups=PARTS)
    for groups, words in (
        ("gaussian:1-2+categorical:3-5+poisson:visit", "did you mean visits?"),
        ("gaussian:visits+categorical:3-5+poisson:6", "does not begin at column 1"),
    ):
        with pytest.raises((ExperimentError, DataError)) as caught:
            predicted(**asked, groups=groups)
        assert words in f"{caught.value} {caught.value.remedy}".replace("'", "")


def test_columns_of_mixed_that_spread_differently_are_told(tmp_path: Path) -> None:
    """They share a sigma and are not scaled: the widest alone decides t_1."""
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.normal(0, [1, 1, 1000], (60, 3)), rng.poisson(2, 60)])
    np.savetxt(tmp_path / "t.csv", table, "%.3f", ",", header="a,b,c,n", comments="")
    asked = MIXED | {"dataset": str(tmp_path / "t.csv"), "d": "4", "seeds": "1"}
    uneven = predicted(**asked, groups="gaussian:1-3+poisson:4")
    variances = load(asked["dataset"], 4, scale="none").train[:, :3].var(axis=0)
    ratio = variances.max() / variances.min()
    assert uneven.thresholds[0].unevenness == pytest.approx(ratio, rel=1e-3)
    assert "share a sigma" in shown(uneven)
    even = predicted(
        **asked | {"dataset": str(tmp_path / "t.csv:a+b+n"), "d": "3"},
        groups="gaussian:1-2+poisson:3",
    )
    assert "share a sigma" not in shown(even)


def test_every_group_of_columns_has_a_likelihood_of_its_own(tmp_path: Path) -> None:
    """The thresholds are those of the groups beside each other; the network ends as each asks."""
    asked = MIXED | {"dataset": _mixed_table(tmp_path), "groups": PARTS, "seeds": "1"}
    found = predicted(**asked)
    (run,) = runs(**asked)
    data = load(asked["dataset"], 6, scale="none")
    known = theory.moments(data.train)
    variance = np.concatenate([np.ones(2), known.mean[2:]])
    scaled = known.covariance / np.sqrt(np.outer(variance, variance))
    brute = np.linalg.eigvalsh(scaled)[::-1]
    assert found.thresholds[0].largest[:5] == pytest.approx(brute[:5], rel=1e-4)
    assert [(piece.output, piece.size) for piece in run.architecture.pieces] == [
        ("linear", 2),
        ("softmax", 3),
        ("exponential", 1),
    ]
    assert "groups " + PARTS in shown(found)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ("6", "gaussian:1-3"),
        ("gaussian:1-2+categorical:3-5", "end at column 5"),
        ("gaussian:1-2+laplace:3-6", "gaussian:1-3"),
        ("gaussian:1-2+categorical:3-6", "a single 1 in each group"),
        ("gaussian:1-2+poisson:3-6", ""),
        ("poisson:1-6", "whole numbers"),
        ("gaussian:1-2+bce:3-6", "values from 0 to 1, for bce there"),
    ],
)
def test_groups_that_the_data_cannot_have_are_refused(
    tmp_path: Path, groups: str, words: str
) -> None:
    """By what is wrong with the text, or by the first value and the likelihood there."""
    asked = MIXED | {"dataset": _mixed_table(tmp_path), "groups": groups}
    if not words:
        assert predicted(**asked).settings
        return
    with pytest.raises(DataError) as caught:
        predicted(**asked)
    assert words in str(caught.value) + caught.value.expected
    for option, parts in (("sigma", PARTS), ("dispersion", "gaussian:1-5+negative_binomial:6")):
        with pytest.raises((DataError, ExperimentError)):
            predicted(**asked | {"groups": parts, option: "learned"})
