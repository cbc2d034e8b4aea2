"""An id follows from the settings, and never changes."""

import csv
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from asked import LATER, OTHER_SETTINGS, Write, ids_of

from lossbench.experiment import read

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
def test_an_id_never_changes(write: Write, text: str, run_id: str) -> None:
    """These ids stand in committed tables; another id would orphan every record."""
    assert ids_of(read(write(text))) == [run_id]


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
    write: Write, text: str
) -> None:
    """Order, comments, 1 or 1.0, defaults spelt out and the time limit are no other experiment."""
    assert ids_of(read(write(text))) == ids_of(read(write(_SPELLINGS[0])))


def test_every_setting_is_part_of_the_identity(write: Write) -> None:
    """Any other setting is another id; only what follows from others, or waits, is not."""
    (run,) = read(write("[sweep]\nloss = 'docs'\nd = 64\nseeds = 1\n")).runs()
    ids = {replace(run, **{name: other}).run_id for name, other in OTHER_SETTINGS.items()}
    assert len(ids | {run.run_id}) == len(OTHER_SETTINGS) + 1
    rest = {field.name for field in fields(run)} - set(OTHER_SETTINGS)
    of_files = {"definition", "network_definition", "image", "function", "built"}
    assert rest == {"a", "b", "beta_eff", "time_limit", *of_files}
    assert set(run.identity()) == set(OTHER_SETTINGS) - LATER  # what has its default


def test_an_id_is_a_file_name(write: Write) -> None:
    """Whatever the settings, an id has no slash, no space and no surprise in it."""
    runs = [
        *read().runs(),
        *read(write("[sweep]\nd = 64\nbeta = [1e-9, 1e11, 0.3333333]\n")).runs(),
    ]
    for run in runs:
        assert re.fullmatch(r"[A-Za-z0-9.+_-]{1,120}", run.run_id)
        assert run.run_id.startswith(f"{run.loss}-{run.reconstruction_loss}-beta")


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


_COMMITTED = sorted((Path(__file__).parent.parent / "results").glob("*/runs.csv"))
_FIRST_FORMAT = Path(__file__).parent / "results-format-1" / "runs.csv"


@pytest.mark.parametrize("table", [*_COMMITTED, _FIRST_FORMAT], ids=lambda path: path.parent.name)
def test_the_ids_of_committed_results_follow_from_their_experiments(table: Path) -> None:
    """Every id that a committed table holds is that of a run of the experiment beside it."""
    with table.open(encoding="utf-8", newline="") as lines:
        committed = [row["run_id"] for row in csv.DictReader(lines)]
    assert committed
    assert sorted(committed) == sorted(ids_of(read(table.with_name("experiment.toml"))))
