"""``did you mean``: a slip is answered with the name that was meant, another word with none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from lossbench.cli.app import app
from lossbench.columns import METRIC_COLUMNS, RUNS
from lossbench.data import BUILT_IN, load
from lossbench.errors import DataError, ExperimentError, did_you_mean, near
from lossbench.experiment import read
from lossbench.loss import catalogue
from lossbench.settings import KEYS, SECTIONS

COMMANDS = tuple(typer.main.get_group(app).commands)
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
KINDS = ("bce", "mse")
NAMES = {
    "keys": tuple(KEYS),
    "sections": SECTIONS,
    "losses": tuple(catalogue()),
    "datasets": BUILT_IN,
    "columns": tuple(column.name for column in RUNS),
    "metrics": METRIC_COLUMNS,
    "commands": COMMANDS,
    "optimizers": OPTIMIZERS,
    "kinds": KINDS,
}


def slips(name: str) -> Iterator[str]:
    """Yield a name with one letter missing, doubled, wrong, or swapped with the next one."""
    for i in range(len(name)):
        yield name[:i] + name[i + 1 :]
        yield name[: i + 1] + name[i:]
        yield name[:i] + "q" + name[i + 1 :]
        yield name[:i] + name[i : i + 2][::-1] + name[i + 2 :]


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.slow if k == "losses" else ()) for k in NAMES]
)
def test_one_slip_is_answered_with_the_name(kind: str) -> None:
    """Whatever the letter, in every name of three letters or more that a user may write."""
    names = [name for name in NAMES[kind] if len(name) > 2]
    missed = [
        (slip, name)
        for name in names
        for slip in slips(name)
        if slip not in names and name not in near(slip, NAMES[kind])
    ]
    assert missed == []
    first = [
        (slip, name)
        for name in names
        for slip in slips(name)
        if slip not in names and near(slip, [name, "another-word"])[:1] != [name]
    ]
    assert first == []


@pytest.mark.parametrize(
    ("typed", "known", "meant"),
    [
        ("dosc", ("blog", "docs"), "docs"),
        ("BCE", KINDS, "bce"),
        ("Adam", OPTIMIZERS, "adam"),
        ("batchsize", tuple(KEYS), "batch_size"),
        ("learning-rate", tuple(KEYS), "learning_rate"),
        ("learnign_rat", tuple(KEYS), "learning_rate"),
        ("noise", tuple(KEYS), "noise_std"),
        ("std", tuple(KEYS), "noise_std"),
        ("loss_fn", tuple(KEYS), "loss"),
        ("fashion", BUILT_IN, "fashion_mnist"),
        ("fashion-mnist", BUILT_IN, "fashion_mnist"),
        ("digit", BUILT_IN, "digits"),
        ("active", METRIC_COLUMNS, "active_units"),
        ("lightning", tuple(catalogue()), "lightning-bolts-vae"),
        ("pytorch-example", tuple(catalogue()), "pytorch-examples"),
    ],
)
def test_what_is_near_is_suggested_first(typed: str, known: tuple[str, ...], meant: str) -> None:
    """Capitals, the signs between words, two slips in a long name, a part of the name."""
    assert did_you_mean(typed, known).startswith(f"did you mean {meant!r}")


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        ("t.csv", "datasets"),
        ("data.csv", "datasets"),
        ("cifar10", "datasets"),
        ("images", "datasets"),
        ("zebra", "datasets"),
        ("adagrad", "optimizers"),
        ("lion", "optimizers"),
        ("gaussian", "kinds"),
        ("l1", "kinds"),
        ("t.csv", "kinds"),
        ("weights", "keys"),
        ("alpha", "keys"),
        ("momentum", "keys"),
        ("x", "keys"),
        ("kl2", "sections"),
        ("runtime", "sections"),
        ("accuracy", "metrics"),
        ("perplexity", "metrics"),
        ("fid", "metrics"),
        ("accuracy", "columns"),
        ("q", "columns"),
        ("zebra", "losses"),
        ("t.csv", "losses"),
        ("transformer", "losses"),
        ("t.csv", "commands"),
        ("benchmark", "commands"),
        ("delete", "commands"),
    ],
)
def test_another_word_is_answered_with_no_suggestion(typed: str, kind: str) -> None:
    """Nothing is near, so nothing is named."""
    assert did_you_mean(typed, NAMES[kind]) == ""


def test_no_command_is_taken_for_a_slip_of_another() -> None:
    """Words that mean something else are not near, though some share half of their letters."""
    assert len(COMMANDS) > 8
    for typed in COMMANDS:
        assert near(typed, COMMANDS) == [typed]


def test_at_most_three_names_are_suggested() -> None:
    """The nearest first; a long list is no hint."""
    known = [f"train_{name}" for name in ("a", "b", "c", "d")] + ["trian"]
    assert did_you_mean("trainn", known).count("'") == 6
    assert near("trainn", ["train_elbo", "train"]) == ["train"]
    assert did_you_mean("train", known) == "did you mean 'trian', 'train_a' or 'train_b'?"


def test_a_workbook_as_data_is_not_taken_for_patches() -> None:
    """The kinds of data that there are stand in the message; none of them was meant."""
    with pytest.raises(DataError) as caught:
        load("t.xls", None)
    assert caught.value.remedy == "give one of these"
    assert "patches" in caught.value.expected


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("digts.toml", "digits.toml"), ("digits", "experiments/digits.toml"), ("mnist.toml", "")],
)
def test_an_experiment_file_is_suggested_by_its_own_name(
    typed: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folders that two paths share do not make another file near."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    for place in ("digits.toml", "experiments/digits.toml"):
        (tmp_path / place).touch()
    for folder in (Path(), tmp_path) if "/" not in meant else (Path(),):
        with pytest.raises(ExperimentError) as caught:
            read(folder / typed)
        expected = f"did you mean {str(folder / meant)!r}?"
        assert caught.value.remedy == (
            expected if meant else "`lossbench init` writes one to start from"
        )
