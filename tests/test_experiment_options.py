"""Options in place of the keys of a file."""

import pytest
from asked import Write

from lossbench.errors import ExperimentError
from lossbench.experiment import read
from lossbench.words import setting


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
    assert {setting(run.hidden) for run in single.runs()} == {"linear"}


def test_a_single_value_of_a_fixed_key_stays_outside_the_grid() -> None:
    """``--epochs 5`` is another experiment; ``--epochs 5,6`` is an axis."""
    assert read(overrides={"epochs": "5"}).fixed["epochs"] == 5
    assert read(overrides={"epochs": "5"}).grids == read().grids
    assert read(overrides={"epochs": "5,6"}).fixed["epochs"] == 200
    assert {run.epochs for run in read(overrides={"epochs": "5,6"}).runs()} == {5, 6}


def test_beta_eff_takes_the_place_of_a_files_beta_and_back(write: Write) -> None:
    """An option for the one drops the other from the grid."""
    experiment = read(overrides={"beta_eff": "1", "d": "64"})
    assert {run.beta_eff for run in experiment.runs()} == {1.0}
    path = write("[sweep]\nbeta_eff = 3\nd = 64\n")
    assert {run.beta for run in read(path, {"beta": "2"}).runs()} == {2.0}


def test_an_option_says_what_the_key_would_say(write: Write) -> None:
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
        ("reconstruction_loss", "bse", "bce, mse, gaussian"),
        ("optimizer", "adams", "did you mean 'adam' or 'adamw'?"),
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
