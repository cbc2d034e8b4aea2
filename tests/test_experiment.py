"""The experiment room: TOML and options in, settings, ids, grids and stacks out."""

import contextlib
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tomli_w
from conftest import Note, trials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lossbench.errors import ExperimentError, UsageError
from lossbench.experiment import (
    TEMPLATE,
    Experiment,
    RunSettings,
    extended,
    layers_text,
    n_parameters,
    read,
    stacks,
    text_of,
)

_RESULTS = Path(__file__).parent.parent / "results"
_Write = Callable[[str], Path]
_N_EXAMPLES = trials(100, 2_500)  # of each of the four kinds of input
_READING = settings(
    max_examples=_N_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def write(tmp_path: Path) -> _Write:
    """Return a function that writes an experiment file and returns its path."""

    def written(text: str) -> Path:
        path = tmp_path / "asked.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def _refusal(
    path: Path, overrides: Mapping[str, str] | None = None, line: int | None = None
) -> ExperimentError:
    """Return the error of a file, which names the file and the line."""
    with pytest.raises(ExperimentError) as caught:
        read(path, overrides)
    if line is not None:
        assert caught.value.where == f"{path}, line {line}"
    assert len(str(caught.value).splitlines()) <= 5
    return caught.value


def _ids(experiment: Experiment) -> list[str]:
    return [run.run_id for run in experiment.runs()]


# What comes out.


def test_no_file_is_the_default_experiment_of_240_runs() -> None:
    """Digits, both losses and kinds, five betas, d 16 and 64, k 2 and 8, three seeds."""
    experiment = read()
    assert experiment.name == "default"
    runs = experiment.runs()
    assert len(runs) == len({run.run_id for run in runs}) == 2 * 2 * 5 * 2 * 2 * 3
    assert {run.dataset for run in runs} == {"digits"}
    assert {run.beta for run in runs} == {0.01, 0.1, 0.5, 1, 4}
    assert {(run.d, run.k) for run in runs} == {(16, 2), (16, 8), (64, 2), (64, 8)}
    assert {run.seed for run in runs} == {0, 1, 2}
    assert {run.epochs for run in runs} == {200}
    assert {run.eval_every for run in runs} == {4}


def test_every_key_of_a_file_reaches_the_run(write: _Write) -> None:
    """Each key that a person writes is a field of the run, with the value that was written."""
    path = write(
        """
        [data]
        dataset = "patches"
        [model]
        hidden = [32, 16]
        noise_std = 0.5
        [training]
        epochs = 7
        batch_size = 10
        optimizer = "rmsprop"
        learning_rate = 0.01
        learning_rate_decay = 0.1
        epsilon = 1e-8
        eval_every = 3
        time_limit = 60
        [sweep]
        loss = "blog"
        reconstruction_loss = "mse"
        beta = 2
        d = 25
        k = 5
        seeds = [9]
        """
    )
    assert read(path).name == "asked"
    (run,) = read(path).runs()
    assert run == RunSettings(
        dataset="patches",
        loss="blog",
        reconstruction_loss="mse",
        beta=2.0,
        d=25,
        k=5,
        hidden=(32, 16),
        noise_std=0.5,
        epochs=7,
        batch_size=10,
        optimizer="rmsprop",
        learning_rate=0.01,
        learning_rate_decay=0.1,
        epsilon=1e-8,
        eval_every=3,
        seed=9,
        a=1 / 25,
        b=2 / 5,
        beta_eff=10.0,
        time_limit=60.0,
    )


def test_an_empty_file_is_the_seed_question_on_digits(write: _Write) -> None:
    """Without a key, both losses are compared at beta 1 with k = 2 and three seeds."""
    resolved = read(write("")).resolved(lambda name: {"digits": (64, 1437)}[name])
    assert {(r.loss, r.reconstruction_loss, r.beta, r.d, r.k) for r in resolved.runs()} == {
        ("blog", "bce", 1.0, 64, 2),
        ("docs", "bce", 1.0, 64, 2),
    }
    assert len(resolved.runs()) == 6


def test_the_template_spells_out_the_defaults(write: _Write) -> None:
    """What init writes is what an empty file means."""
    template, empty = read(TEMPLATE), read(write(""))
    assert template.fixed == empty.fixed
    assert template.grids == empty.grids


def test_without_a_d_every_dataset_has_its_own(write: _Write) -> None:
    """The native d of each dataset of the grid is spelt out, and the data's size is known."""
    path = write('[sweep]\ndataset = ["digits", "patches"]\nloss = "docs"\nseeds = 1\n')
    sizes = {"digits": (64, 1437), "patches": (49, 6000)}
    resolved = read(path).resolved(sizes.__getitem__)
    assert {(run.dataset, run.d) for run in resolved.runs()} == {("digits", 64), ("patches", 49)}
    assert resolved.n_images == {"digits": 1437, "patches": 6000}


def test_beta_eff_gives_every_convention_the_beta_that_makes_them_equal(write: _Write) -> None:
    """beta_eff is kept as given; beta is derived and b/a agrees with it."""
    path = write("[sweep]\nbeta_eff = [0.1, 3]\nd = [784, 49]\nk = [2, 3]\nseeds = 1\n")
    runs = read(path).runs()
    assert len(runs) == 2 * 2 * 2 * 2
    for run in runs:
        assert run.beta_eff in (0.1, 3.0)
        assert run.b / run.a == pytest.approx(run.beta_eff, rel=1e-11)
        expected = run.beta_eff if run.loss == "docs" else run.beta_eff * run.k / run.d
        assert run.beta == pytest.approx(expected, rel=1e-11)


def test_every_key_may_be_an_axis_of_the_grid(write: _Write) -> None:
    """Keys of the model and the training vary like any other when they stand under [sweep]."""
    path = write(
        "[sweep]\nd = 64\nseeds = 1\nloss = 'docs'\nhidden = [[], [8], [8, 4]]\n"
        "epochs = [1, 2]\noptimizer = ['sgd', 'adam']\nnoise_std = [0.1, 1]\n"
    )
    runs = read(path).runs()
    combinations = {(run.hidden, run.epochs, run.optimizer, run.noise_std) for run in runs}
    assert len(runs) == len(combinations) == 3 * 2 * 2 * 2
    assert list(read(path).varying()) == ["hidden", "noise_std", "epochs", "optimizer"]


def test_two_sweeps_in_a_file_are_the_union_of_their_grids(write: _Write) -> None:
    """A run that stands in both grids is one run."""
    path = write(
        "[[sweep]]\nd = 64\nbeta = [1, 2]\nseeds = 1\n[[sweep]]\nd = 64\nbeta = [2, 4]\nseeds = 2\n"
    )
    runs = read(path).runs()
    assert sorted((run.loss, run.beta, run.seed) for run in runs) == [
        (loss, beta, seed)
        for loss in ("blog", "docs")
        for beta, seed in ((1, 0), (2, 0), (2, 1), (4, 0), (4, 1))
    ]


@pytest.mark.parametrize(
    ("epochs", "eval_every", "expected"),
    [(200, 0, 4), (10, 0, 1), (51, 0, 2), (600, 0, 12), (200, 7, 7), (3, 100, 3)],
)
def test_a_history_has_about_50_rows_unless_told_otherwise(
    write: _Write, epochs: int, eval_every: int, expected: int
) -> None:
    """eval_every 0 gives at most 50 rows, and no run is left without its last epoch."""
    training = f"[training]\nepochs = {epochs}\neval_every = {eval_every}\n"
    assert read(write(f"{training}[sweep]\nd = 64\n")).runs()[0].eval_every == expected


def test_a_run_takes_its_coefficients_with_it() -> None:
    """a, b and beta_eff of a run are those of the algebra, at its own sizes."""
    for run in read().runs():
        a, b = (1.0, run.beta) if run.loss == "docs" else (1 / run.d, run.beta / run.k)
        assert (run.a, run.b) == pytest.approx((a, b), rel=1e-15)
        assert run.beta_eff == pytest.approx(b / a, rel=1e-11)


# Ids.

_GOLDEN = {
    '[sweep]\nloss = "blog"\nd = 64\nseeds = 1': "blog-bce-beta1-d64-k2-seed0-fc8ed0bb8b",
    '[sweep]\nloss = "docs"\nreconstruction_loss = "mse"\nbeta = 0.1\nd = 64\nk = 8\nseeds = [7]': (
        "docs-mse-beta0.1-d64-k8-seed7-e630fce651"
    ),
    '[data]\ndataset = "mnist"\n[model]\nhidden = []\n'
    '[sweep]\nloss = "docs"\nbeta_eff = 392\nd = 784\nseeds = 1': (
        "docs-bce-beta392-d784-k2-seed0-e726f0c732"
    ),
    '[data]\ndataset = "mnist"\n[model]\nhidden = [512, 256]\nnoise_std = 0.01\n'
    '[training]\nepochs = 10\noptimizer = "sgd"\nlearning_rate = 0.5\n'
    '[sweep]\nloss = "blog"\nbeta_eff = 392\nd = 784\nseeds = 1': (
        "blog-bce-beta1-d784-k2-seed0-018e24caa8"
    ),
    '[data]\ndataset = "./my faces.npz"\n'
    '[sweep]\nloss = "blog"\nbeta = 0.30000000000000004\nd = 1024\nk = 20\nseeds = [2147483647]': (
        "blog-bce-beta0.3-d1024-k20-seed2147483647-6e07515cb1"
    ),
    "[training]\nbatch_size = 32\nlearning_rate_decay = 0.1\nepsilon = 1e-8\neval_every = 7\n"
    'optimizer = "rmsprop"\n[sweep]\nloss = "blog"\nbeta = 0\nd = 16\nseeds = 1': (
        "blog-bce-beta0-d16-k2-seed0-9c505eec6e"
    ),
}


@pytest.mark.parametrize(("text", "run_id"), _GOLDEN.items(), ids=_GOLDEN.values())
def test_an_id_never_changes(write: _Write, text: str, run_id: str) -> None:
    """These ids stand in committed tables; another id would orphan every record."""
    assert _ids(read(write(text))) == [run_id]


_SPELLINGS = (
    "[sweep]\nloss = ['docs']\nbeta = 1\nd = 64\nk = [2]\nseeds = 2\n",
    "[sweep] # the grid\nseeds = [1, 0]\nk = 2\n# none\nd = [64, 64]\nbeta = 1.0\nloss = 'docs'\n",
    "sweep = {loss = ['docs'], d = 64, seeds = 2}\n",
    'sweep.loss = "docs"\nsweep."d" = 64\nsweep.seeds = 2\nsweep.beta_eff = 1\n',
    "[[sweep]]\nloss = 'docs'\nd = 64\nseeds = 1\n[[sweep]]\nloss = 'docs'\nd = 64\nseeds = [1]\n",
    "[training]\nepochs = 200\neval_every = 4\nlearning_rate = 0.001\ntime_limit = 5\n"
    "[model]\nhidden = [64]\nnoise_std = 1\n[data]\ndataset = 'digits'\n"
    "[sweep]\nloss = 'docs'\nd = 64\nseeds = 2\nreconstruction_loss = 'bce'\n",
    "[sweep]\nloss = 'docs'\nd = 64\nseeds = 2\nepochs = [200]\nhidden = [64]\nbeta = 1e0\n",
    "[sweep]\nloss = 'docs'\nd = 64\nseeds = 2\nbeta = 1.00000000000000022\n",
)


@pytest.mark.parametrize("text", _SPELLINGS)
def test_the_same_settings_have_the_same_ids_however_they_are_spelt(
    write: _Write, text: str
) -> None:
    """Order, comments, 1 or 1.0, defaults spelt out and the time limit are no other experiment."""
    assert _ids(read(write(text))) == _ids(read(write(_SPELLINGS[0])))


_OTHER = {
    "dataset": "patches",
    "loss": "blog",
    "reconstruction_loss": "mse",
    "beta": 2.0,
    "d": 16,
    "k": 3,
    "hidden": (64, 64),
    "noise_std": 0.5,
    "epochs": 100,
    "batch_size": 64,
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "learning_rate_decay": 0.5,
    "epsilon": 1e-8,
    "eval_every": 5,
    "seed": 1,
    "iwae_samples": 100,
}


def test_every_setting_is_part_of_the_identity(write: _Write) -> None:
    """Any other setting is another id; only what follows from others, or waits, is not."""
    (run,) = read(write("[sweep]\nloss = 'docs'\nd = 64\nseeds = 1\n")).runs()
    ids = {replace(run, **{name: other}).run_id for name, other in _OTHER.items()}
    assert len(ids | {run.run_id}) == len(_OTHER) + 1
    rest = {field.name for field in fields(run)} - set(_OTHER)
    assert rest == {"a", "b", "beta_eff", "time_limit", "definition"}
    assert set(run.identity()) == set(_OTHER) - {"iwae_samples"}  # what is not asked for


def test_an_id_is_a_file_name(write: _Write) -> None:
    """Whatever the settings, an id has no slash, no space and no surprise in it."""
    runs = [
        *read().runs(),
        *read(write("[sweep]\nd = 64\nbeta = [1e-9, 1e11, 0.3333333]\n")).runs(),
    ]
    for run in runs:
        assert re.fullmatch(r"[A-Za-z0-9.+_-]{1,120}", run.run_id)
        assert run.run_id.startswith(f"{run.loss}-{run.reconstruction_loss}-beta")


# Options in place of keys.


def test_an_option_replaces_a_key_of_the_grid() -> None:
    """Lists take commas, and the other axes stay."""
    experiment = read(overrides={"beta": "0.1,2", "loss": "docs", "d": "64"})
    assert {(run.loss, run.beta, run.d) for run in experiment.runs()} == {
        ("docs", 0.1, 64),
        ("docs", 2.0, 64),
    }
    assert len(experiment.runs()) == 2 * 2 * 2 * 3


def test_seeds_are_a_count_or_a_list() -> None:
    """``--seeds 3`` counts, ``--seeds 0,5,7`` names, and a comma makes a list of one."""
    cases = {"3": {0, 1, 2}, "0,5,7": {0, 5, 7}, "5,": {5}, " 2 ": {0, 1}, "7,7": {7}}
    for text, seeds in cases.items():
        assert {run.seed for run in read(overrides={"seeds": text}).runs()} == seeds


def test_the_layers_of_a_network_take_an_x() -> None:
    """``64x64,128`` is two networks, ``linear`` one without a hidden layer."""
    experiment = read(overrides={"hidden": "64x64,128,linear"})
    assert {run.hidden for run in experiment.runs()} == {(64, 64), (128,), ()}
    single = read(overrides={"hidden": "linear"})
    assert single.fixed["hidden"] == ()
    assert {layers_text(run.hidden) for run in single.runs()} == {"linear"}


def test_a_single_value_of_a_fixed_key_stays_outside_the_grid() -> None:
    """``--epochs 5`` is another experiment; ``--epochs 5,6`` is an axis."""
    assert read(overrides={"epochs": "5"}).fixed["epochs"] == 5
    assert read(overrides={"epochs": "5"}).grids == read().grids
    assert read(overrides={"epochs": "5,6"}).fixed["epochs"] == 200
    assert {run.epochs for run in read(overrides={"epochs": "5,6"}).runs()} == {5, 6}


def test_beta_eff_takes_the_place_of_a_files_beta_and_back(write: _Write) -> None:
    """An option for the one drops the other from the grid."""
    experiment = read(overrides={"beta_eff": "1", "d": "64"})
    assert {run.beta_eff for run in experiment.runs()} == {1.0}
    path = write("[sweep]\nbeta_eff = 3\nd = 64\n")
    assert {run.beta for run in read(path, {"beta": "2"}).runs()} == {2.0}


def test_an_option_says_what_the_key_would_say(write: _Write) -> None:
    """A file with the key and the option without it give the same runs."""
    text = "[model]\nhidden = [8, 4]\n[sweep]\nd = 16\nk = [2, 3]\nseeds = [4]\nloss = 'blog'\n"
    options = {"hidden": "8x4", "d": "16", "k": "2,3", "seeds": "4,", "loss": "blog"}
    assert read(write(text)).runs() == read(write(""), options).runs()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("beta", "-1", "a number of at least 0"),
        ("beta", "nan", "a number of at least 0"),
        ("beta", "inf", "a number of at least 0"),
        ("beta", "1e999", "a number of at least 0"),
        ("beta", "one", "a number of at least 0"),
        ("beta", "", "empty list"),
        ("beta", " , ", "empty list"),
        ("beta_eff", "-1", "a number of at least 0"),
        ("d", "0", "a whole number of at least 1"),
        ("d", "64.5", "a whole number of at least 1"),
        ("d", "9" * 5000, "a whole number of at least 1"),
        ("k", "true", "a whole number of at least 1"),
        ("seeds", "0", "a count of at least 1"),
        ("seeds", "-1", "a count of at least 1"),
        ("seeds", "", "a count of at least 1"),
        ("seeds", "100001", "at most 100000"),
        ("seeds", "1,-1", "a count of at least 1"),
        ("hidden", "64x", "layer sizes"),
        ("hidden", "64x0", "layer sizes"),
        ("hidden", "64 64", "layer sizes"),
        ("hidden", "x".join(["1"] * 9), "at most 8"),
        ("loss", "bloog", "did you mean 'blog'?"),
        ("reconstruction_loss", "bse", "bce or mse"),
        ("optimizer", "adams", "did you mean 'adam'?"),
        ("learning_rate", "0", "a number above 0"),
        ("learning_rate_decay", "1.5", "above 0 and at most 1"),
        ("epsilon", "1e-400", "a number above 0"),
        ("noise_std", "0", "a number above 0"),
        ("epochs", "0", "at least 1"),
        ("batch_size", "-5", "at least 1"),
        ("eval_every", "-1", "a whole number of epochs"),
        ("time_limit", "0", "seconds, above 0"),
        ("betta", "1", "did you mean 'beta'?"),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(name: str, text: str, words: str) -> None:
    """The message names the option and the rule, and fits a screen."""
    with pytest.raises(ExperimentError) as caught:
        read(overrides={name: text})
    assert caught.value.where == f"--{name.replace('_', '-')}"
    assert words in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_beta_and_beta_eff_are_not_both_options() -> None:
    """Two weights on one term contradict each other."""
    with pytest.raises(ExperimentError, match="contradict"):
        read(overrides={"beta": "1", "beta_eff": "1"})


# Bad input, with the line that it stands on.


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[sweep]\nbetta = 1\n", 2, "did you mean 'beta'?"),
        ("[data]\n\n# a comment\ndatset = 'x'\n", 4, "did you mean 'dataset'?"),
        ("[swep]\nbeta = 1\n", 1, "did you mean 'sweep'?"),
        ("\nbeta = 1\n", 2, "write `beta` under [sweep]"),
        ("[sweep]\nloss = ['docs', 'bloog']\n", 2, "did you mean 'blog'?"),
        ("[sweep]\nloss = 3\n", 2, "the name of a loss convention"),
        ("[sweep]\nreconstruction_loss = 'bec'\n", 2, "did you mean 'bce'?"),
        ("[training]\noptimizer = 'Adam'\n", 2, "did you mean 'adam'?"),
        ("[sweep]\nbeta = []\n", 2, "empty list, so the grid has no runs"),
        ("[sweep]\nseeds = []\n", 2, "empty list, so the grid has no runs"),
        ("[sweep]\nseeds = 0\n", 2, "a count of at least 1"),
        ("[sweep]\nseeds = -1\n", 2, "a count of at least 1"),
        ("[sweep]\nseeds = '3'\n", 2, "a count of at least 1"),
        ("[sweep]\nseeds = ['3']\n", 2, "a count of at least 1"),
        ("[sweep]\nseeds = 1.5\n", 2, "a count of at least 1"),
        ("[sweep]\nseeds = true\n", 2, "a count of at least 1"),
        ("[sweep]\nseeds = [true]\n", 2, "a count of at least 1"),
        ("sweep = []\n", 1, "the grid is empty"),
        ("sweep = 3\n", 1, "`sweep` is not a section"),
        ("sweep = [3]\n", 1, "`sweep` is not a section"),
        ("data = 'digits'\n", 1, "`data` is not a section"),
        ("[sweep]\nk = 2\nbeta = -1\n", 3, "a number of at least 0"),
        ("[sweep]\r\nk = 2\r\nbeta = -1\r\n", 3, "a number of at least 0"),
        ("[sweep]\nbeta_eff = -0.1\n", 2, "a number of at least 0"),
        ("[sweep]\nbeta = nan\n", 2, "received: nan"),
        ("[sweep]\nbeta = [1, inf]\n", 2, "received: inf"),
        ("[sweep]\nbeta = '1'\n", 2, "received: '1'"),
        ("[sweep]\nbeta = true\n", 2, "received: True"),
        ("[sweep]\nbeta = [[1]]\n", 2, "a number of at least 0"),
        ("[sweep]\nbeta = {low = 1}\n", 2, "a number of at least 0"),
        ("[sweep]\nbeta = 2026-01-01\n", 2, "a number of at least 0"),
        ("[sweep]\nbeta = 1\nbeta_eff = 1\n", 3, "contradict"),
        ("[sweep]\nd = true\n", 2, "received: True"),
        ("[sweep]\nd = 64.0\n", 2, "a whole number of at least 1"),
        ("[sweep]\nd = 0\n", 2, "a whole number of at least 1"),
        ("[sweep]\nk = 10000000000\n", 2, "a whole number of at least 1"),
        ("[sweep]\nhidden = []\n", 2, "empty list"),
        ("[sweep]\nhidden = [[8], 8]\n", 2, "layer sizes"),
        ("[model]\nbeta = 1\n", 2, "`beta` under [sweep]"),
        ("[training]\ndataset = 'digits'\n", 2, "`dataset` under [data]"),
        ("[training]\nepochs = [1, 2]\n", 2, "write `epochs` under [sweep]"),
        ("[model]\nhidden = [[8], [16]]\n", 2, "write `hidden` under [sweep]"),
        ("[training]\nepochs = true\n", 2, "received: True"),
        ("[training]\nepochs = 2.5\n", 2, "received: 2.5"),
        ("[training]\nlearning_rate = 0\n", 2, "a number above 0"),
        ("[training]\nlearning_rate = nan\n", 2, "a number above 0"),
        ("[training]\nlearning_rate_decay = nan\n", 2, "above 0 and at most 1"),
        ("[training]\nlearning_rate_decay = 2\n", 2, "above 0 and at most 1"),
        ("[model]\nnoise_std = -1\n", 2, "a number above 0"),
        ("[model]\nhidden = 64\n", 2, "layer sizes"),
        ("[model]\nhidden = [0]\n", 2, "layer sizes"),
        ("[model]\nhidden = [true]\n", 2, "layer sizes"),
        ("[data]\ndataset = ''\n", 2, "digits, patches, mnist"),
        ("[data]\ndataset = 3\n", 2, "digits, patches, mnist"),
        ("[frozen]\nformat = 99\n", 1, "format = 1"),
        ("frozen = 3\n", 1, "format = 1"),
        # Lines that are hard to find.
        ("sweep.beta = -1\n", 1, "a number of at least 0"),
        ('[sweep]\n"beta" = -1\n', 2, "a number of at least 0"),
        ("[ sweep ] # here\n  beta=-1\n", 2, "a number of at least 0"),
        ("[training]\nepochs = 5\n[sweep]\nepochs = [0]\n", 4, "at least 1"),
        ("[sweep]\nhidden = [\n  [64],\n  [128],\n]\nbetta = 1\n", 6, "did you mean 'beta'?"),
        ("[[sweep]]\nbeta = 1\n[[sweep]]\nbeta = -1\n", 4, "a number of at least 0"),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_its_line(
    write: _Write, text: str, line: int, words: str
) -> None:
    """The message names file, line and rule, and what was meant where that can be guessed."""
    assert words in str(_refusal(write(text), line=line))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[sweep]\nbeta = 1 2\n", 2),
        ("[sweep\nbeta = 1\n", 1),
        ("[sweep]\nbeta = 1\nbeta = 2\n", 3),
        ("[sweep]\nloss = blog\n", 2),
        ("[sweep]\nbeta = [1, 2\n", 2),
        ('[sweep]\nbeta = "abc', 2),
        ("<html>\n", 1),
    ],
)
def test_a_file_that_is_not_toml_is_refused_with_its_line(
    write: _Write, text: str, line: int
) -> None:
    """The line where reading stopped is named, the last one for what was never closed."""
    error = _refusal(write(text))
    assert error.problem == "the experiment file is not TOML"
    assert error.where in (f"{write(text)}, line {line}", f"{write(text)}, line {line + 1}")


@pytest.mark.parametrize(
    "raw",
    [b"\xff\xfe[\x00s", b"\x00", b"\x89PNG\r\n\x1a\n", b"beta = '\xe9'", b"#" * 1_000_001],
    ids=["utf-16", "nul", "png", "latin-1", "huge"],
)
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, raw: bytes) -> None:
    """A file that is not UTF-8, or far too large, is named, and its bytes are not shown."""
    path = tmp_path / "asked.toml"
    path.write_bytes(raw)
    assert str(path) in _refusal(path).where


def test_deep_nesting_is_refused(write: _Write) -> None:
    """A hundred thousand brackets end in one message, not in a crash."""
    assert "not TOML" in str(_refusal(write("[sweep]\nbeta = " + "[" * 100_000)))
    assert "beta" in str(_refusal(write("[sweep]\nbeta = " + "[" * 50 + "]" * 50), line=2))


@pytest.mark.parametrize("key", ["seeds", "beta", "d", "loss", "hidden"])
@pytest.mark.parametrize("number", ["0x" + "F" * 5000, "[0x" + "F" * 5000 + "]"])
def test_a_number_of_thousands_of_digits_is_refused(write: _Write, key: str, number: str) -> None:
    """Python will not print such a number; the message does without it."""
    error = _refusal(write(f"[sweep]\n{key} = {number}\n"), line=2)
    assert len(str(error)) < 1000


def test_a_missing_file_is_refused_with_the_nearest_one(write: _Write) -> None:
    """A slip in a file's name is answered with the file that is there."""
    there = write("")
    error = _refusal(there.with_name("askd.toml"))
    assert error.remedy == f"did you mean '{there}'?"
    assert error.where.endswith("askd.toml")


def test_a_folder_is_no_experiment_file(tmp_path: Path) -> None:
    """The path of a folder is refused like any other that cannot be read."""
    assert str(tmp_path) in _refusal(tmp_path).where


def test_a_grid_too_large_to_hold_is_refused(write: _Write) -> None:
    """Ten million runs are refused by their number, before they are made."""
    betas = list(range(1000))
    path = write(f"[sweep]\nbeta = {betas}\nd = 64\nseeds = 10000\n")
    with pytest.raises(ExperimentError, match="20,000,000 runs"):
        read(path).runs()


# What is frozen in a results folder.


def test_a_frozen_experiment_reads_back_as_the_same_runs(write: _Write) -> None:
    """text_of and read are inverse to each other, hashes and sizes included."""
    sizes = {"digits": (64, 1437), "a 'b' \\ \"c\".npz": (9, 5)}
    asked = read(
        write(
            "[model]\nhidden = []\n[[sweep]]\nbeta_eff = [0.1, 1]\n"
            "dataset = ['digits', '''a 'b' \\ \"c\".npz''']\n"
            "[[sweep]]\nhidden = [[], [8, 4]]\nbeta = 0.3\nd = 64\n"
        )
    ).resolved(sizes.__getitem__)
    frozen = replace(asked, data_sha256={f"{name} at d=9": "ab" * 32 for name in sizes})
    again = read(write(text_of(frozen)))
    assert again == frozen
    assert again.runs() == asked.runs()
    assert text_of(again) == text_of(frozen)


def test_a_frozen_experiment_spells_out_every_default(write: _Write) -> None:
    """Every key but the grid's own stands in the frozen file, so that no default can move it."""
    text = text_of(read(write("")))
    for name in read(write("")).fixed:
        assert re.search(rf"^{name} = ", text, re.MULTILINE)


def _resolved(path: Path, overrides: Mapping[str, str] | None = None) -> Experiment:
    asked = read(path, overrides).resolved(lambda _: (64, 1437))
    return replace(
        asked, data_sha256={f"{r.dataset} at d={r.d}": f"hash of {r.d}" for r in asked.runs()}
    )


def test_a_larger_grid_extends_a_folder(write: _Write) -> None:
    """The old runs stay, the new ones are added, and asking twice adds nothing."""
    frozen = _resolved(write("[sweep]\nbeta = [1, 2]\n"))
    asked = _resolved(write("[sweep]\nbeta = [2, 4]\nseeds = 4\nd = [64, 16]\n"))
    larger = extended(frozen, asked)
    assert set(_ids(larger)) == set(_ids(frozen)) | set(_ids(asked))
    assert larger.name == frozen.name
    assert set(larger.data_sha256) == {"digits at d=64", "digits at d=16"}
    assert extended(larger, asked) == larger
    assert extended(larger, frozen) == larger


def test_an_axis_over_a_fixed_key_extends_a_folder(write: _Write) -> None:
    """``--epochs 5,200`` on a folder of 200 epochs adds the runs of 5 epochs."""
    frozen = _resolved(write(""))
    larger = extended(frozen, _resolved(write(""), {"epochs": "5,200"}))
    assert len(larger.runs()) == 2 * len(frozen.runs())


def test_another_time_limit_is_the_same_experiment(write: _Write) -> None:
    """How long to wait is no part of what is computed; the new limit counts from now on."""
    frozen = _resolved(write(""))
    patient = extended(frozen, _resolved(write("[training]\ntime_limit = 9\n")))
    assert _ids(patient) == _ids(frozen)
    assert {run.time_limit for run in patient.runs()} == {9.0}


@pytest.mark.parametrize(
    ("name", "other", "shown"),
    [
        ("dataset", "patches", "patches"),
        ("hidden", "64x64", "[64, 64]"),
        ("noise_std", "0.5", "0.5"),
        ("epochs", "100", "100"),
        ("batch_size", "64", "64"),
        ("optimizer", "sgd", "sgd"),
        ("learning_rate", "0.01", "0.01"),
        ("learning_rate_decay", "0.5", "0.5"),
        ("epsilon", "1e-8", "1e-08"),
        ("eval_every", "7", "7"),
    ],
)
def test_another_model_or_training_is_refused(
    write: _Write, name: str, other: str, shown: str
) -> None:
    """Whatever differs outside the grid is named with both values."""
    frozen = _resolved(write(""))
    with pytest.raises(ExperimentError) as caught:
        extended(frozen, _resolved(write(""), {name: other}))
    assert caught.value.received == f"{name} = {shown}"
    assert caught.value.expected.startswith(f"{name} = ")


def test_other_bytes_under_the_same_name_are_refused(write: _Write) -> None:
    """The same path with another hash is another experiment."""
    frozen = _resolved(write(""))
    asked = replace(frozen, data_sha256={"digits at d=64": "another"})
    with pytest.raises(ExperimentError) as caught:
        extended(frozen, asked)
    assert "the data of digits at d=64" in caught.value.expected


# Stacks.


@pytest.fixture
def many(write: _Write) -> tuple[RunSettings, ...]:
    """Return runs of many shapes, some of them too large to stack."""
    return read(
        write(
            "[sweep]\nd = [16, 64, 784]\nk = [2, 8]\nhidden = [[], [64], [512]]\nseeds = 3\n"
            "reconstruction_loss = ['bce', 'mse']\nbeta = [0.1, 1]\nepochs = [1, 2]\n"
        )
    ).runs()


def test_every_run_is_in_exactly_one_stack(many: tuple[RunSettings, ...]) -> None:
    """No run is lost and none is trained twice."""
    stacked = [run.run_id for stack in stacks(many) for run in stack.runs]
    assert sorted(stacked) == sorted(run.run_id for run in many)


def test_the_runs_of_a_stack_differ_only_in_loss_beta_and_seed(
    many: tuple[RunSettings, ...],
) -> None:
    """Whatever is compiled in is the same for all members, and has the same shape and width."""
    free = {"loss", "beta", "seed"}
    for stack in stacks(many):
        assert 1 <= len(stack.runs) <= stack.width
        assert (
            len(
                {
                    json.dumps({k: v for k, v in run.identity().items() if k not in free})
                    for run in stack.runs
                }
            )
            == 1
        )
    assert len({stack.shape for stack in stacks(many)}) == 3 * 2 * 3 * 2 * 2
    assert len({(stack.shape, stack.width) for stack in stacks(many)}) == 3 * 2 * 3 * 2 * 2


def test_only_the_last_stack_of_a_shape_is_not_full(many: tuple[RunSettings, ...]) -> None:
    """A shape of n runs takes no more stacks than it must."""
    by_shape: dict[object, list[int]] = {}
    for stack in stacks(many):
        by_shape.setdefault((stack.shape, stack.width), []).append(len(stack.runs))
    for (_, width), sizes in by_shape.items():
        assert sizes[:-1] == [width] * (len(sizes) - 1)


def test_the_runs_of_a_seed_come_together(many: tuple[RunSettings, ...]) -> None:
    """Batches and noise of a seed are drawn once a stack, so they are drawn as seldom as can be."""
    n_seeds: dict[object, list[int]] = {}
    for stack in stacks(many):
        n_seeds.setdefault(stack.shape, []).append(len({run.seed for run in stack.runs}))
    for drawn in n_seeds.values():
        assert sum(drawn) <= 3 + len(drawn) - 1


def test_a_remnant_is_as_wide_as_a_full_stack(many: tuple[RunSettings, ...]) -> None:
    """The width belongs to the shape, so one run that is retried gives the same bytes."""
    widths = {stack.shape: stack.width for stack in stacks(many)}
    for run in many:
        (stack,) = stacks([run])
        assert stack.width == widths[stack.shape]


def test_a_stack_is_about_as_wide_as_was_measured_to_be_fastest() -> None:
    """Within a tenth of the fastest width of ``results/width.csv``, one thread on each core."""
    measured = pd.read_csv(_RESULTS / "width.csv").query("threads == 1")
    for (d, hidden, k), widths in measured.groupby(["d", "hidden", "k"]):
        axes = {"dataset": "mnist", "d": str(d), "hidden": str(hidden), "k": str(k)}
        (stack,) = stacks(read(overrides=axes).runs()[:1])
        times = widths.set_index("width")["ms_per_model_epoch"]
        assert times[stack.width] <= 1.1 * times.min(), (d, hidden, k, stack.width)


@pytest.mark.parametrize(("d", "hidden", "width"), [(64, "64", 64), (784, "512", 64)])
def test_a_gpu_takes_wide_stacks(d: int, hidden: str, width: int) -> None:
    """As many members as fit 1 GB, at most 64: a shape's runs go into fewer stacks."""
    runs = read(
        overrides={"d": str(d), "hidden": hidden, "k": "2", "seeds": "10", "dataset": "mnist"}
    ).runs()
    wide = stacks(runs, device="GPU")
    assert {stack.width for stack in wide} == {width}
    assert {run for stack in wide for run in stack.runs} == set(runs)
    assert len(wide) < len(stacks(runs))


def test_parameters_are_counted_by_hand() -> None:
    """At d = 64, h = 64, k = 2: encoder 4160, two heads of 130, decoder 192 + 4160."""
    (run,) = read(
        overrides={
            "d": "64",
            "k": "2",
            "loss": "docs",
            "reconstruction_loss": "bce",
            "beta": "1",
            "seeds": "1",
        }
    ).runs()
    assert n_parameters(run) == 4160 + 2 * 130 + 192 + 4160
    assert n_parameters(replace(run, hidden=())) == 2 * 130 + 192


# Any grid, any text.

_GRIDS = st.fixed_dictionaries(
    {"d": st.lists(st.integers(1, 10**6), min_size=1, max_size=3, unique=True)},
    optional={
        "loss": st.lists(st.sampled_from(["blog", "docs"]), min_size=1, max_size=2, unique=True),
        "reconstruction_loss": st.lists(
            st.sampled_from(["bce", "mse"]), min_size=1, max_size=2, unique=True
        ),
        "beta": st.lists(
            st.floats(0, 1e11, allow_subnormal=False).map(lambda x: float(f"{x:.11g}")),
            min_size=1,
            max_size=3,
            unique=True,
        ),
        "k": st.lists(st.integers(1, 10**6), min_size=1, max_size=2, unique=True),
        "seeds": st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=3, unique=True),
        "hidden": st.lists(
            st.lists(st.integers(1, 65536), max_size=3), min_size=1, max_size=2, unique_by=tuple
        ),
        "learning_rate": st.lists(
            st.floats(1e-6, 10).map(lambda x: float(f"{x:.11g}")),
            min_size=1,
            max_size=2,
            unique=True,
        ),
        "epochs": st.lists(st.integers(1, 10**6), min_size=1, max_size=2, unique=True),
        "optimizer": st.lists(
            st.sampled_from(["adam", "sgd", "rmsprop"]), min_size=1, max_size=2, unique=True
        ),
    },
)


@_READING
@given(grid=_GRIDS, random_order=st.randoms(use_true_random=False))
def test_any_valid_grid_has_distinct_ids_that_no_permutation_changes(
    write: _Write, grid: dict[str, list[Any]], random_order: random.Random
) -> None:
    """One id a combination, the same ones whatever the order of keys and values."""
    n_runs = 1
    for values in ({"loss": [1, 2], "seeds": [1, 2, 3]} | grid).values():
        n_runs *= len(values)
    runs = read(write(tomli_w.dumps({"sweep": grid}))).runs()
    assert len({run.run_id for run in runs}) == len(runs) == n_runs
    names = list(grid)
    random_order.shuffle(names)
    shuffled = {name: random_order.sample(grid[name], len(grid[name])) for name in names}
    assert read(write(tomli_w.dumps({"sweep": shuffled}))).runs() == runs


_VALID = TEMPLATE.read_text(encoding="utf-8") + 'dataset = ["digits", "a.npz"]\nd = [16, 64]\n'
_PIECES = st.sampled_from(
    [
        *"[]{}=,.#\"'\n\t\\-+_0x",
        "[sweep]",
        "[[sweep]]",
        "[frozen]",
        "format = 1",
        "n_images = {digits = true}",
        "beta_eff = 1",
        "nan",
        "-inf",
        "1e400",
        "9" * 5000,
        "true",
        "2026-01-01",
        "'''",
        "\ufeff",
        "\x00",
        "é",
        "[[[[",
        "seeds",
        "hidden",
    ]
)


@contextlib.contextmanager
def _read_or_refused(where: str) -> Iterator[None]:
    """Let pass what is read, and what is refused as the user's to mend, with its place."""
    refusal = None
    try:
        yield
    except UsageError as error:
        refusal = error
    if refusal is not None:
        assert refusal.exit_code == 2
        assert re.fullmatch(rf"{where}(, line [1-9][0-9]*)?", refusal.where), refusal


def _fuzzed(note: Note, kind: str, examples: Callable[[], None]) -> None:
    """Run all the examples of a kind of input, and note whether every one held."""
    n_held = 0
    try:
        examples()
        n_held = _N_EXAMPLES
    finally:
        figure = "read, or refused with exit code 2 and its place"
        note(f"settings are fuzzed: {kind}", _N_EXAMPLES, n_held, figure, "by hypothesis")


def test_a_mutated_file_is_read_or_refused(write: _Write, note: Note) -> None:
    """Whatever is cut out of a valid file or put into it; what is read has one canonical form."""
    edits = st.tuples(st.integers(0, len(_VALID)), st.integers(0, 20), _PIECES)

    @_READING
    @given(st.lists(edits, min_size=1, max_size=4))
    def examples(edits: list[tuple[int, int, str]]) -> None:
        text = _VALID
        for start, length, piece in edits:
            text = text[:start] + piece + text[start + length :]
        path = write(text)
        with _read_or_refused(re.escape(str(path))):
            asked = read(path).resolved(lambda _: (64, 1437))
            runs = asked.runs()
            assert read(write(text_of(asked))).runs() == runs

    _fuzzed(note, "mutated files", examples)


def test_any_bytes_are_read_or_refused(tmp_path: Path, note: Note) -> None:
    """No bytes make the reader fail in another way."""
    path = tmp_path / "asked.toml"

    @_READING
    @given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode()))
    def examples(raw: bytes) -> None:
        path.write_bytes(raw)
        with _read_or_refused(re.escape(str(path))):
            read(path)

    _fuzzed(note, "raw bytes", examples)


_ITEMS = st.recursive(
    st.none().map(lambda _: "x")
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=5)
    | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_NAMES = st.sampled_from(["dataset", "hidden", "noise_std", "epochs", "loss", "beta", "d", "seeds"])
_SECTIONS = st.sampled_from(["data", "model", "training", "sweep", "frozen"])


def test_any_toml_document_is_read_or_refused(write: _Write, note: Note) -> None:
    """Values of every type in every place are a grid or an error that names them."""

    @_READING
    @given(st.dictionaries(_SECTIONS, _ITEMS | st.dictionaries(_NAMES, _ITEMS, max_size=3)))
    def examples(document: dict[str, Any]) -> None:
        path = write(tomli_w.dumps(document))
        with _read_or_refused(re.escape(str(path))):
            read(path).resolved(lambda _: (64, 1437)).runs()

    _fuzzed(note, "TOML of any values", examples)


def test_any_options_are_read_or_refused(note: Note) -> None:
    """No text of an option makes it fail in another way."""
    names = st.sampled_from([*_OTHER, "beta_eff", "seeds", "time_limit", "what"])
    text = st.text(alphabet="0123456789.,-+ex nainf_blogdcsm\x00é", max_size=12)

    @_READING
    @given(st.dictionaries(names, text, max_size=3))
    def examples(overrides: dict[str, str]) -> None:
        with _read_or_refused("--[a-z-]+"):
            read(overrides=overrides).resolved(lambda _: (64, 1437)).runs()

    _fuzzed(note, "options", examples)


@pytest.mark.parametrize("name", ["../outside", "/etc/x", "..", ".", "", "a/b", "a\\b", "\x1b[31m"])
def test_a_frozen_name_leads_nowhere_else(write: _Write, name: str) -> None:
    """An experiment from somebody else cannot choose a folder outside results/."""
    path = write(f"[frozen]\nformat = 1\nname = {json.dumps(name)}\n")
    with pytest.raises(ExperimentError, match="name that no folder can have"):
        read(path)


# Fifteen more ids that no version may change without another format version.
_GOLDEN_OPTIONS: list[tuple[dict[str, str], str]] = [
    ({}, "docs-bce-beta1-d64-k2-seed0-b1ede040df"),
    ({"loss": "blog"}, "blog-bce-beta1-d64-k2-seed0-fc8ed0bb8b"),
    ({"reconstruction_loss": "mse"}, "docs-mse-beta1-d64-k2-seed0-028363781e"),
    ({"beta": "0.1"}, "docs-bce-beta0.1-d64-k2-seed0-7120e6dfc1"),
    ({"beta": "1e-9"}, "docs-bce-beta1e-09-d64-k2-seed0-e57ff9e4e7"),
    ({"beta_eff": "3.3"}, "docs-bce-beta3.3-d64-k2-seed0-109688c18d"),
    ({"d": "16"}, "docs-bce-beta1-d16-k2-seed0-2803bbddd3"),
    ({"k": "8"}, "docs-bce-beta1-d64-k8-seed0-8f49d96631"),
    ({"seeds": "7,"}, "docs-bce-beta1-d64-k2-seed7-043e291248"),
    ({"hidden": "linear"}, "docs-bce-beta1-d64-k2-seed0-2f381965d0"),
    ({"hidden": "64x32"}, "docs-bce-beta1-d64-k2-seed0-a63d9a6efa"),
    ({"noise_std": "0.5"}, "docs-bce-beta1-d64-k2-seed0-55c39eecba"),
    ({"epochs": "3"}, "docs-bce-beta1-d64-k2-seed0-ca15b08271"),
    ({"batch_size": "64"}, "docs-bce-beta1-d64-k2-seed0-e213cc78b3"),
    ({"optimizer": "sgd"}, "docs-bce-beta1-d64-k2-seed0-72d938b2e3"),
]


@pytest.mark.parametrize(("options", "run_id"), _GOLDEN_OPTIONS)
def test_an_id_never_changes_however_it_is_asked_for(options: dict[str, str], run_id: str) -> None:
    """Every setting that makes a run another one gives the id that it has always had."""
    one = {"reconstruction_loss": "bce", "d": "64", "k": "2", "loss": "docs", "seeds": "0,"}
    weight = {} if "beta_eff" in options else {"beta": "1.0"}
    (run,) = read(None, one | weight | options).runs()
    assert run.run_id == run_id
