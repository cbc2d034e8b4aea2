"""What is frozen in a results folder, and what extends it."""

import json
import re
from dataclasses import replace

import pytest
from asked import Write, ids_of, resolved

from lossbench.errors import ExperimentError
from lossbench.experiment import extended, read, text_of


def test_a_frozen_experiment_reads_back_as_the_same_runs(write: Write) -> None:
    """text_of and read are inverse to each other, hashes and sizes included."""
    sizes = {"digits": (64, 1437, ()), "a 'b' \\ \"c\".npz": (9, 5, ())}
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


def test_a_frozen_experiment_spells_out_every_default(write: Write) -> None:
    """Every key but the grid's own stands in the frozen file, so that no default can move it."""
    text = text_of(read(write("")))
    for name in read(write("")).fixed:
        assert re.search(rf"^{name} = ", text, re.MULTILINE)


def test_a_larger_grid_extends_a_folder(write: Write) -> None:
    """The old runs stay, the new ones are added, and asking twice adds nothing."""
    frozen = resolved(write("[sweep]\nbeta = [1, 2]\n"))
    asked = resolved(write("[sweep]\nbeta = [2, 4]\nseeds = 4\nd = [64, 16]\n"))
    larger = extended(frozen, asked)
    assert set(ids_of(larger)) == set(ids_of(frozen)) | set(ids_of(asked))
    assert larger.name == frozen.name
    assert set(larger.data_sha256) == {"digits at d=64", "digits at d=16"}
    assert extended(larger, asked) == larger
    assert extended(larger, frozen) == larger


def test_an_axis_over_a_fixed_key_extends_a_folder(write: Write) -> None:
    """``--epochs 5,200`` on a folder of 200 epochs adds the runs of 5 epochs."""
    frozen = resolved(write(""))
    larger = extended(frozen, resolved(write(""), {"epochs": "5,200"}))
    assert len(larger.runs()) == 2 * len(frozen.runs())


def test_another_time_limit_is_the_same_experiment(write: Write) -> None:
    """How long to wait is no part of what is computed; the new limit counts from now on."""
    frozen = resolved(write(""))
    patient = extended(frozen, resolved(write("[training]\ntime_limit = 9\n")))
    assert ids_of(patient) == ids_of(frozen)
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
    write: Write, name: str, other: str, shown: str
) -> None:
    """Whatever differs outside the grid is named with both values."""
    frozen = resolved(write(""))
    with pytest.raises(ExperimentError) as caught:
        extended(frozen, resolved(write(""), {name: other}))
    assert caught.value.received == f"{name} = {shown}"
    assert caught.value.expected.startswith(f"{name} = ")


def test_other_bytes_under_the_same_name_are_refused(write: Write) -> None:
    """The same path with another hash is another experiment."""
    frozen = resolved(write(""))
    asked = replace(frozen, data_sha256={"digits at d=64": "another"})
    with pytest.raises(ExperimentError) as caught:
        extended(frozen, asked)
    assert "the data of digits at d=64" in caught.value.expected


@pytest.mark.parametrize("name", ["../outside", "/etc/x", "..", ".", "", "a/b", "a\\b", "\x1b[31m"])
def test_a_frozen_name_leads_nowhere_else(write: Write, name: str) -> None:
    """An experiment from somebody else cannot choose a folder outside results/."""
    path = write(f"[frozen]\nformat = 1\nname = {json.dumps(name)}\n")
    with pytest.raises(ExperimentError, match="name that no folder can have"):
        read(path)
