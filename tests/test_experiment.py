"""The experiment room: what a file says is what its runs are."""

import re
from typing import get_args

import pytest
from asked import Write

from lossbench.data import BUILT_IN
from lossbench.experiment import TEMPLATE, read
from lossbench.loss import LIKELIHOODS
from lossbench.optimizer import OptimizerName
from lossbench.settings import SETTINGS, RunSettings


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


def test_every_key_of_a_file_reaches_the_run(write: Write) -> None:
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


def test_an_empty_file_is_the_seed_question_on_digits(write: Write) -> None:
    """Without a key, both losses are compared at beta 1 with k = 2 and three seeds."""
    resolved = read(write("")).resolved(lambda name: {"digits": (64, 1437, ())}[name])
    assert {(r.loss, r.reconstruction_loss, r.beta, r.d, r.k) for r in resolved.runs()} == {
        ("blog", "bce", 1.0, 64, 2),
        ("docs", "bce", 1.0, 64, 2),
    }
    assert len(resolved.runs()) == 6


def test_the_template_spells_out_the_defaults(write: Write) -> None:
    """What init writes is what an empty file means."""
    template, empty = read(TEMPLATE), read(write(""))
    assert template.fixed == empty.fixed
    assert template.grids == empty.grids


def test_the_template_has_every_setting_and_every_word() -> None:
    """In its section, or as a comment there; likelihoods, optimizers and data sets by name."""
    text = TEMPLATE.read_text(encoding="utf-8")
    _, *parts = re.split(r"^\[(data|model|training|sweep)\]", text, flags=re.M)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    for key in SETTINGS:
        if key.section:
            assert re.search(rf"\b{key.name} = ", sections[key.section]), key.name
    words = [*LIKELIHOODS, *get_args(OptimizerName), *BUILT_IN]
    assert [word for word in words if not re.search(rf"\b{word}\b", text)] == []


def test_without_a_d_every_dataset_has_its_own(write: Write) -> None:
    """The native d of each dataset of the grid is spelt out, and the data's size is known."""
    path = write('[sweep]\ndataset = ["digits", "patches"]\nloss = "docs"\nseeds = 1\n')
    sizes = {"digits": (64, 1437, ()), "patches": (49, 6000, ())}
    resolved = read(path).resolved(sizes.__getitem__)
    assert {(run.dataset, run.d) for run in resolved.runs()} == {("digits", 64), ("patches", 49)}
    assert resolved.n_images == {"digits": 1437, "patches": 6000}


def test_beta_eff_gives_every_convention_the_beta_that_makes_them_equal(write: Write) -> None:
    """beta_eff is kept as given; beta is derived and b/a agrees with it."""
    path = write("[sweep]\nbeta_eff = [0.1, 3]\nd = [784, 49]\nk = [2, 3]\nseeds = 1\n")
    runs = read(path).runs()
    assert len(runs) == 2 * 2 * 2 * 2
    for run in runs:
        assert run.beta_eff in (0.1, 3.0)
        assert run.b / run.a == pytest.approx(run.beta_eff, rel=1e-11)
        expected = run.beta_eff if run.loss == "docs" else run.beta_eff * run.k / run.d
        assert run.beta == pytest.approx(expected, rel=1e-11)


def test_every_key_may_be_an_axis_of_the_grid(write: Write) -> None:
    """Keys of the model and the training vary like any other when they stand under [sweep]."""
    path = write(
        "[sweep]\nd = 64\nseeds = 1\nloss = 'docs'\nhidden = [[], [8], [8, 4]]\n"
        "epochs = [1, 2]\noptimizer = ['sgd', 'adam']\nnoise_std = [0.1, 1]\n"
    )
    runs = read(path).runs()
    combinations = {(run.hidden, run.epochs, run.optimizer, run.noise_std) for run in runs}
    assert len(runs) == len(combinations) == 3 * 2 * 2 * 2
    assert list(read(path).varying()) == ["hidden", "noise_std", "epochs", "optimizer"]


def test_two_sweeps_in_a_file_are_the_union_of_their_grids(write: Write) -> None:
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
    write: Write, epochs: int, eval_every: int, expected: int
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
