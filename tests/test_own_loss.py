"""A loss of one's own in a sweep: what is proved is trained, what is not is refused."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import lossbench as command
from drill import train_here

import lossbench
from lossbench import api, proving
from lossbench.errors import AuditError, ExperimentError, ResultsError, UsageError
from lossbench.experiment import OwnLoss, read, text_of
from lossbench.experiment.own_loss import told
from lossbench.loss import Sizes
from lossbench.settings import RunSettings
from lossbench.store import Store
from lossbench.sweeping import Plan, plan, sweep

MINE = """
import numpy as np

def mine(x, x_hat, z_mean, z_log_var):
    kl = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)).mean(axis=1)
    return (((x - x_hat) ** 2).mean(axis=1) + kl).mean()

def weighted(x, x_hat, z_mean, z_log_var, beta=4.0):
    kl = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)).sum(axis=1)
    return (((x - x_hat) ** 2).sum(axis=1) + beta * kl).mean()

def crooked(x, x_hat, z_mean, z_log_var, beta=4.0):
    kl = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)).sum(axis=1)
    return (((x - x_hat) ** 2).sum(axis=1) + (beta + 1) * kl).mean()

def fitted(x, x_hat, z_mean, z_log_var):
    kl = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)).sum(axis=1)
    weight = 2.0 if z_mean.shape[1] > 2 else 0.5
    return (((x - x_hat) ** 2).sum(axis=1) + weight * kl).mean()

def of_two(x, x_hat, z_mean, z_log_var):
    assert z_mean.shape[1] == 2
    return mine(x, x_hat, z_mean, z_log_var)

def of_images(x, x_hat, z_mean, z_log_var):
    kl = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)).sum(axis=1)
    return (((x - x_hat) ** 2).sum(axis=(1, 2, 3)) + kl).mean()

def floored(x, x_hat, z_mean, z_log_var):
    kl = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var))
    return ((x - x_hat) ** 2).sum(axis=1).mean() + np.maximum(0.5, kl.mean(axis=0)).sum()

def absolute(x, x_hat, z_mean, z_log_var):
    kl = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var)).sum(axis=1)
    return (np.abs(x - x_hat).sum(axis=1) + kl).mean()

def broken(x, x_hat, z_mean, z_log_var):
    raise RuntimeError("not today")

def endless(x, x_hat, z_mean, z_log_var):
    while True:
        pass

def nothing(x, x_hat, z_mean, z_log_var):
    return np.nan
"""
KERAS = """
from keras import ops

def mine(x, x_hat, z_mean, z_log_var):
    kl = -0.5 * ops.mean(1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var), axis=-1)
    return ops.mean(ops.mean(ops.square(x - x_hat), axis=-1) + kl)
"""
TORCH = """
import torch

def mine(x, x_hat, z_mean, z_log_var):
    kl = -0.5 * (1 + z_log_var - z_mean**2 - z_log_var.exp()).mean(dim=1)
    return (((x - x_hat) ** 2).mean(dim=1) + kl).mean()
"""
AXES = {
    **{"reconstruction_loss": "mse", "beta": "1", "d": "16", "k": "2", "seeds": "1"},
    **{"hidden": "8", "epochs": "2"},
}


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the file of losses in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_vae.py").write_text(MINE)


def planned(loss: str, out: str = "made", **axes: str) -> Plan:
    """Return the plan of a sweep of one loss; a function of the file needs no path."""
    name = loss if loss == "blog" or ":" in loss else f"my_vae.py:{loss}"
    return plan(read(None, AXES | {"loss": name} | axes), Path(out))


def only(found: Plan) -> RunSettings:
    """Return the one run of a plan."""
    (run,) = found.runs
    return run


# Proved, and trained as that.


@pytest.mark.usefixtures("in_this_process")
def test_a_proved_loss_has_the_coefficients_of_the_convention_that_it_equals() -> None:
    """To the last bit, at every size and weight; it is known by its file's content."""
    axes: dict[str, Any] = {"d": "16,64", "k": "2,3", "beta": "1,0.3"}
    own = {(run.d, run.k, run.beta): run for run in planned("mine", **axes).runs}
    blog = {(run.d, run.k, run.beta): run for run in planned("blog", **axes).runs}
    assert len(own) == 8
    for at, run in own.items():
        assert (run.a, run.b, run.beta_eff) == (blog[at].a, blog[at].b, blog[at].beta_eff)
        assert run.loss == "my_vae.py:mine"
        assert run.definition.endswith(" mine")
        assert run.shape == blog[at].shape


@pytest.mark.usefixtures("in_this_process")
def test_beta_goes_to_the_argument_of_that_name() -> None:
    """It is given, whatever the default; where b is not proportional to it, b is what it makes."""
    assert [run.b for run in planned("weighted", beta="0.5,2").runs] == [0.5, 2.0]
    assert [run.b for run in planned("crooked", beta="0.5,2").runs] == [1.5, 3.0]
    assert [run.b for run in planned("mine", beta="0.5,2").runs] == [0.25, 1.0]


@pytest.mark.usefixtures("in_this_process")
def test_a_beta_eff_is_met_or_refused() -> None:
    """The beta follows; a function in which none follows is refused."""
    run = only(plan(read(None, own_axes("weighted") | {"beta_eff": "0.7"}), Path("made")))
    assert (run.beta, run.beta_eff) == (0.7, 0.7)
    run = only(plan(read(None, own_axes("mine") | {"beta_eff": "0.7"}), Path("made")))
    assert run.beta_eff == 0.7
    assert run.b / run.a == pytest.approx(0.7)
    with pytest.raises(UsageError, match="not proportional to beta"):
        plan(read(None, own_axes("crooked") | {"beta_eff": "0.7"}), Path("made"))


def own_axes(function: str) -> dict[str, str]:
    """Return the axes of one run of a function, but for its weight."""
    axes = {name: text for name, text in AXES.items() if name != "beta"}
    return axes | {"loss": f"my_vae.py:{function}"}


@pytest.mark.usefixtures("in_this_process")
def test_a_loss_that_branches_on_a_size_is_trained_as_what_it_is_at_each() -> None:
    """It is audited at every size of the grid, not taken for a law."""
    assert [run.b for run in planned("fitted", k="2,5").runs] == [0.5, 2.0]
    with pytest.raises(UsageError, match="not audited at these sizes"):
        planned("fitted").experiment.convention("my_vae.py:fitted").coefficients(
            Sizes(16, 5, 128, 1437), 1
        )


@pytest.mark.slow
@pytest.mark.parametrize("source", [MINE, KERAS, TORCH], ids=["numpy", "keras", "torch"])
def test_the_tables_of_a_proved_loss_are_those_of_its_convention(
    source: str, tmp_path: Path
) -> None:
    """Byte for byte but for its name and ids, whichever library it is written in."""
    if source is TORCH:
        pytest.importorskip("torch")
    (tmp_path / "my_vae.py").write_text(source)
    axes = [f"--{name.replace('_', '-')}={text}" for name, text in AXES.items()]
    answer = command(
        *("sweep", *axes, "--beta=1,0.1", "--seeds=2", "--loss=blog,my_vae.py:mine", "--out=made"),
        folder=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr
    assert "my_vae.py:mine is proved to be a*R + b*K of mse and trained as that" in answer.stderr
    for name in ("runs.csv", "summary.csv"):
        table = pd.read_csv(tmp_path / "made" / name, dtype=str).set_index("loss")
        blog, own = (
            table.loc[[loss]].drop(columns=["run_id"], errors="ignore").to_csv(index=False)
            for loss in ("blog", "my_vae.py:mine")
        )
        assert own == blog


@pytest.mark.usefixtures("in_this_process")
def test_a_loss_of_images_is_audited_with_images() -> None:
    """Where it refuses flat ones; what it is proved to be has no shape."""
    run = only(planned("of_images"))
    assert (run.a, run.b) == (1.0, 1.0)


@pytest.mark.usefixtures("in_this_process")
def test_no_weight_at_all_is_a_weight() -> None:
    """At beta 0 there is no KL, as it should; the weight of collapse is told all the same."""
    axes = own_axes("weighted") | {"beta": "0"}
    assert [(run.a, run.b) for run in plan(read(None, axes), Path("made")).runs] == [(1.0, 0.0)]
    both = lossbench.predict(None, **axes | {"beta": [0, 1]})
    (critical,) = both.thresholds[0].critical
    assert critical.beta == pytest.approx(both.thresholds[0].largest[0])
    crooked = lossbench.predict(None, **own_axes("crooked"))
    assert crooked.thresholds[0].critical == ()


# Known by its content.


@pytest.mark.usefixtures("in_this_process")
def test_a_run_is_known_by_the_content_of_the_file_and_the_function(tmp_path: Path) -> None:
    """Not by where it lies; an edit, be it a comment, is another run."""
    here = only(planned("mine")).run_id
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "my_vae.py").write_text(MINE)
    assert only(planned("elsewhere/my_vae.py:mine")).run_id == here
    assert only(planned("weighted")).run_id != here
    (tmp_path / "my_vae.py").write_text(MINE + "# edited\n")
    assert only(planned("mine")).run_id != here
    (tmp_path / "elsewhere" / "my_vae.py").write_text(MINE)
    with pytest.raises(ExperimentError, match=r"two files are called my_vae\.py"):
        read(None, AXES | {"loss": "my_vae.py:mine,elsewhere/my_vae.py:mine"})


@pytest.mark.usefixtures("in_this_process")
def test_a_results_folder_stands_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file lies in it; what was proved is read from it, and nobody's code runs again."""
    train_here(monkeypatch)
    swept = sweep(planned("mine", k="2,3"))
    assert (tmp_path / "made" / "my_vae.py").read_text() == MINE
    (tmp_path / "my_vae.py").unlink()
    frozen = Store(Path("made")).frozen()
    assert frozen is not None
    assert text_of(frozen) == (tmp_path / "made" / "experiment.toml").read_text()
    with monkeypatch.context() as patch:
        patch.setattr(proving, "_audits", None)
        again = plan(read(Path("made/experiment.toml")), Path("made"))
        assert again.runs == swept.plan.runs
        assert again.missing(again.store.statuses()) == ()
    wider = plan(read(Path("made/experiment.toml"), {"k": "5"}), Path("made"))
    assert only(wider).b == pytest.approx(1 / 5)
    sweep(wider)
    again = plan(read(Path("made/experiment.toml")), Path("made"))
    assert {run.k for run in again.runs} == {2, 3, 5}


@pytest.mark.usefixtures("in_this_process")
def test_what_was_proved_is_not_audited_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command again starts at once."""
    train_here(monkeypatch)
    sweep(planned("mine"))
    monkeypatch.setattr(proving, "_audits", None)
    assert planned("mine").missing(Store(Path("made")).statuses()) == ()


@pytest.mark.usefixtures("in_this_process")
def test_a_changed_file_is_told_and_swept_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of what is there is lost; the copy in the folder may not be changed either."""
    train_here(monkeypatch)
    sweep(planned("mine"))
    (tmp_path / "my_vae.py").write_text(MINE + "# edited\n")
    with pytest.raises(ResultsError, match="holds another experiment") as caught:
        planned("mine")
    assert "convention my_vae.py:mine = a file of SHA-256" in caught.value.received
    assert caught.value.remedy == "--out made-2 keeps both"
    (tmp_path / "made" / "my_vae.py").write_text("# edited\n")
    with pytest.raises(ExperimentError, match="not the one that was trained"):
        Store(Path("made")).frozen()


@pytest.mark.parametrize(
    "table",
    [
        'file = "gone.py"',
        'file = "../gone.py"\nfunction = "mine"\nsha256 = ""\nproved = []\ntakes_beta = false',
        'file = "gone.py"\nfunction = "mine"\nsha256 = ""\nproved = [1]\ntakes_beta = false',
    ],
)
def test_a_frozen_loss_that_is_damaged_is_told(table: str, tmp_path: Path) -> None:
    """Not with a traceback, and no file outside the folder is meant."""
    (tmp_path / "experiment.toml").write_text(
        f'[frozen]\nformat = 1\n[own_loss."gone.py:mine"]\n{table}\n'
    )
    with pytest.raises(ExperimentError, match="not as it was frozen") as caught:
        read(tmp_path / "experiment.toml")
    assert caught.value.where == str(tmp_path / "experiment.toml")


# Refused.


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("floored", r"The KL has a floor \(free bits\) of 0\.5 nats"),
        ("absolute", "the reconstruction is l1, absolute error, which is not trained"),
        ("broken", "RuntimeError: not today"),
        ("nothing", "NaN or infinity"),
        ("missing", "functions mine, weighted"),
    ],
)
def test_a_loss_that_is_not_proved_is_refused_with_the_reason(function: str, reason: str) -> None:
    """It names where the loss stands, and the command that tells more."""
    with pytest.raises(AuditError, match=reason) as caught:
        planned(function)
    assert caught.value.where == "--loss"
    assert f"lossbench audit my_vae.py:{function} --d 16 --k 2" in caught.value.remedy
    assert not Path("made").exists()


@pytest.mark.usefixtures("in_this_process")
def test_a_loss_that_refuses_a_size_of_the_grid_is_refused() -> None:
    """At the size that it refuses; at the other one it is trained."""
    assert only(planned("of_two")).b == 0.5
    with pytest.raises(AuditError, match="k = 3"):
        planned("of_two", k="2,3")


def test_a_loss_that_hangs_is_ended_at_the_time_limit() -> None:
    """In its own process, and long before the sixty seconds of an audit."""
    with pytest.raises(AuditError, match="did not return"):
        planned("endless", time_limit="1.5")


@pytest.mark.usefixtures("in_this_process")
def test_another_likelihood_than_the_experiments_is_refused() -> None:
    """With the key to write instead."""
    with pytest.raises(ExperimentError, match="another likelihood") as caught:
        planned("mine", reconstruction_loss="bce,mse")
    assert caught.value.remedy == "--reconstruction-loss mse, or the key in the file"


@pytest.mark.usefixtures("in_this_process")
def test_the_likelihood_of_its_own_is_the_one_that_it_was_proved_to_have() -> None:
    """``reconstruction_loss = "own"`` asks for no name."""
    assert only(planned("mine", reconstruction_loss="own")) == only(planned("mine"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("my_vae.py", "names no loss of your own"),
        ("my_vae.py:", "names no loss of your own"),
        ("my_vae:mine", "names no loss of your own"),
        ("my_va.py:mine", "cannot be read"),
        ("bloog", "no loss is called 'bloog'"),
    ],
)
def test_what_names_no_loss_is_told(text: str, problem: str) -> None:
    """Before anything is audited."""
    with pytest.raises(ExperimentError, match=problem) as caught:
        read(None, AXES | {"loss": text})
    assert caught.value.where == "--loss"


def test_a_file_says_in_which_line_the_loss_stands(tmp_path: Path) -> None:
    """A loss is looked for from the current folder, then beside the experiment."""
    (tmp_path / "there").mkdir()
    file = tmp_path / "there" / "mine.toml"
    file.write_text('[sweep]\nloss = ["docs", "other.py:mine"]\n')
    with pytest.raises(ExperimentError) as caught:
        read(file)
    assert caught.value.where == f"{file}, line 2"
    (tmp_path / "there" / "other.py").write_text(MINE)
    (own,) = read(file).own_losses()
    assert (own.name, own.file) == ("other.py:mine", tmp_path / "there" / "other.py")
    assert read(file, {"loss": "my_vae.py:mine"}).own_losses()[0].name == "my_vae.py:mine"


# Everywhere else.


@pytest.mark.usefixtures("in_this_process")
def test_predict_explain_recommend_and_compare_take_a_loss_of_ones_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the words and numbers of the convention that it equals."""
    train_here(monkeypatch)
    grid: dict[str, Any] = {"d": 16, "k": 2, "beta": [1, 0.01], "reconstruction_loss": "mse"}
    losses = ["blog", "my_vae.py:mine"]
    predicted = lossbench.predict(loss=losses, **grid).to_frame()
    same = [predicted[predicted["loss"] == loss].drop(columns="loss") for loss in losses]
    assert same[0].to_csv(index=False) == same[1].to_csv(index=False)
    derived = lossbench.explain("my_vae.py:mine", d=16, k=2)
    assert [step.formulas for step in derived.steps] == [
        step.formulas
        for step in lossbench.explain("blog", d=16, k=2, reconstruction_loss="mse").steps
    ]
    assert lossbench.explain("my_vae.py:mine", "docs", d=16, k=2).other_beta == 8
    with pytest.raises(UsageError, match="not proportional"):
        lossbench.explain("my_vae.py:crooked", d=16, k=2)
    found = lossbench.recommend(None, kl=1, **own_axes("mine"))
    same = lossbench.recommend(None, kl=1, **own_axes("mine") | {"loss": "blog"})
    assert found.cases[0].weights[0].beta == same.cases[0].weights[0].beta
    with pytest.raises(UsageError, match="not audited at these sizes"):
        lossbench.recommend(None, kl=1, **own_axes("mine") | {"k": "auto"})
    swept = api.sweep(loss=losses, out="made", epochs=1, hidden=(8,), seeds=2, **grid)
    assert not swept.failed
    assert {*lossbench.show("made").to_frame()["loss"]} == {*losses}
    cells = lossbench.compare("made:loss=my_vae.py:mine", "made:loss=blog").cells
    assert len(cells) == 2


@pytest.mark.usefixtures("in_this_process")
def test_what_is_told_before_training() -> None:
    """What was proved, where, and what a run is known by."""
    (own,) = planned("mine", k="2,4").experiment.own_losses()
    assert isinstance(own, OwnLoss)
    proved, known = told(own)
    assert proved == (
        "my_vae.py:mine is proved to be a*R + b*K of mse and trained as that: a = 1/d, "
        "b = 1/k times beta; beta_eff 4 to 8 at beta 1; audited at d 16 k 2 B 128 N 1437 and 1 more"
    )
    assert known.startswith("its runs are those of mine in a my_vae.py of SHA-256 ")
    assert known.endswith(", whatever that imports")
    (own,) = planned("weighted", beta="1,2,3,4,5").experiment.own_losses()
    assert "b = beta; beta_eff 1 to 5; audited" in next(told(own))
