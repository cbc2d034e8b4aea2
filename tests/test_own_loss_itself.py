"""A loss of one's own that is not proved trains itself, where its gradient can be taken."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import lossbench as command
from numpy.typing import NDArray

import lossbench
from lossbench import auditing, proving, worker
from lossbench.auditing import inspection, itself
from lossbench.auditing.loading import load
from lossbench.auditing.records import Found
from lossbench.errors import AuditError, ExperimentError, LossbenchError, UsageError
from lossbench.experiment import read, stacks, text_of, told
from lossbench.loss import LossFunction, Sizes, Way
from lossbench.report.answer import answer
from lossbench.run import Record
from lossbench.settings import RunSettings
from lossbench.store import Store
from lossbench.sweeping import Plan, completed, plan

HEAD = """
import numpy as np
import tensorflow as tf
from keras import ops

def kl_of(m, v):
    return -0.5 * (1 + v - ops.square(m) - ops.exp(v))

def error_of(x, x_hat):
    return ops.sum(ops.square(x - x_hat), axis=-1)
"""
DOCS = (
    HEAD
    + """
def docs(x, x_hat, z_mean, z_log_var, beta):
    return ops.mean(error_of(x, x_hat) + beta * ops.sum(kl_of(z_mean, z_log_var), -1))

def floored(x, x_hat, z_mean, z_log_var):
    kl = ops.maximum(ops.mean(kl_of(z_mean, z_log_var), 0), 0.5)
    return ops.mean(error_of(x, x_hat)) + ops.sum(kl)

def absolute(x, x_hat, z_mean, z_log_var, beta=1.0):
    kl = ops.sum(kl_of(z_mean, z_log_var), -1)
    return ops.mean(ops.sum(ops.abs(x - x_hat), -1) + beta * kl)
"""
)
AXES = {
    **{"reconstruction_loss": "mse", "beta": "1", "d": "16", "k": "2", "seeds": "1"},
    **{"hidden": "8", "epochs": "3"},
}


Audits = tuple[tuple[auditing.Audit, Way | str], ...]
_KNOWN: dict[tuple[object, ...], Audits] = {}


def _unseen(_: auditing.Audit) -> str:
    return "nobody looked"


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the file of losses in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_vae.py").write_text(DOCS)


@pytest.fixture(autouse=True)
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing audited twice: an audit of a function in Keras takes seconds."""
    audited = auditing.audit_to_train

    def known(target: auditing.Target, asked: Sequence[auditing.Options]) -> Audits:
        key = (target.path.read_text(), target.name, repr(asked), inspection.unproved)
        if key not in _KNOWN:
            _KNOWN[key] = audited(target, asked)
        return _KNOWN[key]

    monkeypatch.setattr(auditing, "audit_to_train", known)


@pytest.fixture
def unproved(monkeypatch: pytest.MonkeyPatch, in_this_process: None) -> None:  # noqa: ARG001
    """Have no loss proved, so that each is trained itself."""
    for room in (inspection, itself, auditing):
        monkeypatch.setattr(room, "unproved", _unseen)


def planned(loss: str, **axes: str) -> Plan:
    """Return the plan of a sweep of these losses."""
    return plan(read(None, AXES | {"loss": loss} | axes), Path("made"))


def trained(found: Plan) -> list[Record]:
    """Return the records of the runs of a plan, trained in this process as a worker does it."""
    records = []
    for stack in stacks(found.runs):
        data = found.dataset(stack.runs[0])
        for record in worker.train(stack, data.train, data.test):
            (run,) = (each for each in stack.runs if each.run_id == record.run_id)
            records.append(completed(record, run, data, None))
    return records


def only(found: Plan) -> RunSettings:
    """Return the one run of a plan."""
    (run,) = found.runs
    return run


# The same numbers.


@pytest.mark.usefixtures("unproved")
def test_a_function_that_equals_docs_trains_to_its_numbers() -> None:
    """Its own gradient is that of ``docs``, with the same batches and noise."""
    (own,) = trained(planned("my_vae.py:docs", beta="0.3", epochs="5"))
    (ours,) = trained(planned("docs", beta="0.3", epochs="5"))
    assert "objective" not in own.metrics
    assert len(own.metrics) > 5
    for name in own.metrics:
        assert own.metrics[name] == pytest.approx(ours.metrics[name], rel=1e-5, abs=1e-6)
    assert own.derived["beta_eff"] is own.derived["threshold"] is own.derived["a"] is None


@pytest.mark.usefixtures("in_this_process")
def test_a_floor_that_is_written_literally_is_free_bits() -> None:
    """``maximum(kl, 0.5)`` of each latent's mean trains what ``free_bits = 0.5`` trains."""
    (own,) = trained(planned("my_vae.py:floored", epochs="8"))
    (ours,) = trained(planned("docs", free_bits="0.5", epochs="8"))
    for name in own.metrics:
        assert own.metrics[name] == pytest.approx(ours.metrics[name], rel=1e-5, abs=1e-6)


Floats = NDArray[np.float64]


def _kl(m: Floats, v: Floats) -> Floats:
    return np.asarray(-0.5 * (1 + v - m**2 - np.exp(v)).sum(-1))


FORMS = (
    "def f(x, logits, z_mean, z_log_var):\n"
    "    kl = ops.sum(kl_of(z_mean, z_log_var), -1)\n"
    "    return error_of(x, ops.sigmoid(logits)) + kl\n",
    "def f(x, x_hat, mu, log_sigma):\n"
    "    kl = -0.5 * (1 + 2 * log_sigma - mu**2 - ops.exp(2 * log_sigma))\n"
    "    return ops.sum(ops.square(x - x_hat)) / 128 + ops.sum(kl) / 128\n",
    "def f(x, x_hat, mean, std):\n"
    "    kl = -0.5 * (1 + 2 * ops.log(std) - mean**2 - std**2)\n"
    "    return error_of(x, x_hat) + ops.sum(kl, -1)\n",
    "def f(x, outputs, beta):\n"
    "    x_hat, z_mean, z_log_var = outputs\n"
    "    kl = ops.sum(kl_of(z_mean, z_log_var), -1)\n"
    "    return {'recon': error_of(x, x_hat), 'loss': error_of(x, x_hat) + beta * kl}\n",
    "def f(x, x_hat, z_mean, z_log_var):\n"
    "    error = ops.sum(ops.square(x - x_hat), axis=(1, 2, 3))\n"
    "    return ops.mean(error), ops.mean(ops.sum(kl_of(z_mean, z_log_var), -1))\n",
    "class F:\n"
    "    def __init__(self, latent_dim):\n"
    "        self.k = latent_dim\n"
    "    def __call__(self, y_true, y_pred, z_mean, z_log_var):\n"
    "        kl = ops.mean(kl_of(z_mean, z_log_var)) * self.k\n"
    "        return ops.mean(error_of(y_true, y_pred)) + kl\n",
)


@pytest.mark.usefixtures("unproved")
@pytest.mark.parametrize(
    "source", FORMS, ids=["logits", "log_std", "std", "fields", "images", "class"]
)
def test_a_function_is_called_as_it_was_audited(source: str, tmp_path: Path) -> None:
    """Whatever it takes the spread for, in whichever shape, and whatever it returns."""
    (tmp_path / "forms.py").write_text(HEAD + source)
    name = "F" if "class" in source else "f"
    run = only(planned(f"forms.py:{name}"))
    assert run.function is not None
    loss = auditing.trained_loss(run.function)
    draws = np.random.default_rng(0)
    x, x_hat = draws.uniform(0, 1, (2, 128, 16)).astype(np.float32)
    m, v, z = draws.normal(0, 0.5, (3, 128, 2)).astype(np.float32)
    logits = np.log(x_hat / (1 - x_hat))
    found = float(loss(*map(_tensor, (x, logits, x_hat, m, v, z))))
    expected = ((x - x_hat) ** 2).sum(-1).mean() + _kl(m, v).mean()
    assert found == pytest.approx(float(expected), rel=1e-5)


NOISY = """
def sampled(x, x_hat, z, z_mean, z_log_var):
    kl = ops.square(z) - ops.square(z - z_mean) * ops.exp(-z_log_var) - z_log_var
    return ops.mean(error_of(x, x_hat) + ops.sum(kl, -1) / 2)

def noisy(x, x_hat, z_mean, z_log_var):
    z = z_mean + ops.exp(z_log_var / 2) * keras.random.normal(ops.shape(z_mean))
    return sampled(x, x_hat, z, z_mean, z_log_var)
"""


def test_a_sample_comes_from_the_run_or_not_at_all(tmp_path: Path) -> None:
    """A loss of ``z`` has that of the run; one with noise of its own is never the same again."""
    (tmp_path / "noisy.py").write_text(HEAD + "import keras\n" + NOISY)
    sizes = Sizes(16, 2, 128, 1437)
    way = Way(sizes, None, "keras", "out", "log_var", False, (16,), "", "")
    for name, said in (("sampled", ""), ("noisy", "it draws random numbers of its own")):
        asked = load(str(tmp_path / "noisy.py"), name, {}, {})
        asked.begin("keras", itself._probe(way))
        failure = itself.trial(asked, way).failure
        assert (failure is None) == (not said)
        assert failure is None or said in failure.message


def _tensor(array: NDArray[np.float32]) -> object:
    import tensorflow as tf  # noqa: PLC0415 - most tests are about what is told before

    return tf.constant(array)


# What is told, and known.


@pytest.mark.usefixtures("in_this_process")
def test_what_is_told_before_training() -> None:
    """That the function itself is trained, why, and of what R and the ELBO are."""
    floored, absolute = planned("my_vae.py:floored,my_vae.py:absolute").experiment.own_losses()
    itself_, measured, known = told(floored)
    assert itself_.startswith(
        "my_vae.py:floored is trained itself, by its own gradient, at d 16 k 2 B 128 N 1437, since "
        "it is not proved to be a*R + b*K: The KL has a floor (free bits) of 0.5 nats"
    )
    assert measured == (
        "R, KL and ELBO of my_vae.py:floored are those of mse, which is its own likelihood; "
        "no threshold is told"
    )
    assert known.startswith("its runs are those of floored in a my_vae.py of SHA-256 ")
    assert (
        "those of the experiment's likelihood; its own reconstruction is l1, absolute error"
        in (list(told(absolute))[1])
    )


@pytest.mark.usefixtures("in_this_process")
def test_a_run_of_a_function_stands_alone_and_has_an_id_of_its_own() -> None:
    """In stacks of one; it shares its program with its seeds; the proved one's ids are others."""
    runs = planned("docs,my_vae.py:floored", seeds="2").runs
    own = [run for run in runs if run.function]
    assert len(own) == 2
    assert all(len(s.runs) == s.width == 1 for s in stacks(own))
    assert len({run.shape for run in own}) == 1
    assert {run.definition.rpartition(" ")[2] for run in own} == {"itself"}
    assert all(run.function is None for run in runs if run.loss == "docs")


@pytest.mark.usefixtures("in_this_process")
def test_its_model_is_exported_without_a_loss_of_keras() -> None:
    """Keras has none that it could be compiled for."""
    from lossbench.nn.export import vae  # noqa: PLC0415
    from lossbench.nn.model import initial_weights  # noqa: PLC0415

    run = only(planned("my_vae.py:floored"))
    assert not vae(run, initial_weights(run.architecture, 0)).compiled
    assert vae(only(planned("docs")), initial_weights(run.architecture, 0)).compiled


@pytest.mark.usefixtures("in_this_process")
def test_predict_tells_no_threshold(tmp_path: Path) -> None:
    """Nothing is told of a function but R_0 of its data; compare and show take its results."""
    axes = AXES | {"loss": "docs,my_vae.py:floored"}
    axes.pop("epochs")
    axes.pop("seeds")
    found = lossbench.predict(None, **axes).to_frame().set_index("loss")
    row = found.loc["my_vae.py:floored"]
    assert row[["threshold", "predicted_active_units", "kl_guess", "final_beta_eff"]].isna().all()
    assert found.loc["docs", "threshold"] > 0
    with pytest.raises(UsageError, match="it is trained itself, so it has no beta_eff"):
        lossbench.recommend(None, kl=1, **{n: x for n, x in axes.items() if n != "beta"})
    with pytest.raises(AuditError, match="nothing to explain"):
        lossbench.explain("my_vae.py:floored", d=16, k=2)
    both = planned("docs,my_vae.py:floored")
    store = Store(tmp_path / "made")
    with store.locked(lambda _: None):
        store.freeze(both.experiment)
        for record in trained(both):
            store.save(record)
        store.rebuild()
    cell = lossbench.compare("made:loss=docs", "made:loss=my_vae.py:floored").cells[0]
    assert cell.objectives.relation == "unknown"
    assert {*lossbench.show("made").to_frame()["loss"]} == {"docs", "my_vae.py:floored"}
    assert "unknown" not in " ".join(answer(store.summary(), pd.DataFrame()))


@pytest.mark.usefixtures("in_this_process")
def test_what_was_found_is_frozen_and_not_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder stands for itself: its runs are the same ones, and nobody's code is called."""
    first = planned("my_vae.py:absolute", beta="0.5")
    store = Store(tmp_path / "made")
    with store.locked(lambda _: None):
        store.freeze(first.experiment)
    frozen = store.frozen()
    assert frozen is not None
    assert text_of(frozen) == (tmp_path / "made" / "experiment.toml").read_text()
    monkeypatch.setattr("lossbench.proving._audits", None)
    assert plan(frozen, tmp_path / "made").runs == first.runs
    assert planned("my_vae.py:absolute", beta="0.5").runs == first.runs


# Refused before training.

REFUSED = {
    "def f(x, x_hat, z_mean, z_log_var):\n"
    "    kl = ops.mean(ops.sum(kl_of(z_mean, z_log_var), -1))\n"
    "    return ops.mean(error_of(x, x_hat)) + (kl if kl > 0.5 else 0.5)\n": "in a training step, "
    "a graph of TensorFlow, it raises OperatorNotAllowedInGraphError",
    "def f(x, x_hat, z_mean, z_log_var):\n"
    "    kl = ops.stop_gradient(ops.sum(kl_of(z_mean, z_log_var), -1))\n"
    "    return ops.mean(error_of(x, x_hat) + ops.maximum(kl, 0.5))\n": "it has no gradient to its "
    "z_mean and z_log_var",
    "import numpy as np\n"
    "def f(x, x_hat, z_mean, z_log_var):\n"
    "    kl = -0.5 * (1 + z_log_var - z_mean**2 - np.exp(z_log_var))\n"
    "    return ((x - x_hat) ** 2).sum(1).mean() + np.maximum(0.5, kl.mean(0)).sum()\n": "written "
    "in numpy",
}


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("source", REFUSED, ids=["graph", "gradient", "numpy"])
def test_what_cannot_be_trained_is_refused_before_training(source: str, tmp_path: Path) -> None:
    """With what was not proved, and why the function itself is not trained."""
    (tmp_path / "refused.py").write_text(HEAD + source)
    with pytest.raises(AuditError, match="is not proved to be") as caught:
        planned("refused.py:f")
    _, _, why = caught.value.received.partition("it is not trained itself either: ")
    assert REFUSED[source] in why
    assert caught.value.exit_code == 2
    assert not Path("made").exists()


@pytest.mark.usefixtures("in_this_process")
def test_what_would_be_another_loss_at_the_next_call_is_refused() -> None:
    """So are a model, another library, and what no network here gives."""
    target = auditing.Target(Path("my_vae.py"), "floored")
    options = proving._options(target, Sizes(16, 2, 128, 1437), None, 60.0)
    ((audit, _),) = auditing.audit_to_train(target, [options])
    found = Found("floored", "keras", {"x_hat": "x_hat", "z_log_var": "z_log_var"})
    assert isinstance(itself.way_of(audit, found, (16,)), Way)
    for changed, said in (
        ({"kl_frame": "softplus_std"}, "it takes softplus std of the latents"),
        ({"framework": "torch"}, "it is written in torch"),
        ({"findings": (auditing.Finding("state", "n changes with each call"),)}, "n changes"),
    ):
        assert said in str(itself.way_of(replace(audit, **changed), found, (16,)))
    with_model = replace(found, arguments={"vae": "model", "x": "x"})
    assert "it takes vae, a model" in str(itself.way_of(audit, with_model, (16,)))


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("axes", "problem", "where"),
    [
        ({"beta": "1,2"}, "has no argument `beta`", "--beta"),
        ({"kl_schedule": "linear:0.5"}, "`kl_schedule` changes the KL term", "--kl-schedule"),
        ({"free_bits": "0.5"}, "`free_bits` changes the KL term", "--free-bits"),
        ({"reconstruction_loss": "bce"}, "another likelihood than the experiment", "--loss"),
    ],
)
def test_what_a_function_cannot_have_is_refused(
    axes: dict[str, str], problem: str, where: str
) -> None:
    """With the key, and what was expected."""
    with pytest.raises(ExperimentError, match=problem) as caught:
        planned("my_vae.py:floored", **axes)
    assert caught.value.where == where
    assert caught.value.expected


@pytest.mark.usefixtures("in_this_process")
def test_a_weight_that_a_function_does_not_take_is_told_with_its_line(tmp_path: Path) -> None:
    """As every wrong value of a file; a beta_eff is none of its weights either."""
    file = tmp_path / "mine.toml"
    file.write_text(
        '[model]\nhidden = [8]\n[sweep]\nloss = ["my_vae.py:floored"]\nd = 16\n'
        'reconstruction_loss = "mse"\nbeta = [1, 4]\n'
    )
    with pytest.raises(ExperimentError) as caught:
        plan(read(file), Path("made"))
    assert caught.value.where == f"{file}, line 7"
    assert caught.value.received == "beta 4"
    axes = {name: text for name, text in AXES.items() if name != "beta"}
    asked = axes | {"loss": "my_vae.py:floored", "beta_eff": "2"}
    with pytest.raises(ExperimentError, match="so it has no beta_eff"):
        plan(read(None, asked), Path("made"))
    learned = {"reconstruction_loss": "gaussian", "sigma": "learned"}
    with pytest.raises(ExperimentError, match="`sigma` is learned"):
        planned("my_vae.py:absolute", **learned)


# What fails in training alone costs its own runs.

# An audit asks with grey images or with black and white ones; digits are both.
_ON_DIGITS = "ops.any(x == 0) & ops.any((x > 0.1) & (x < 0.9))"
FAILING: dict[str, tuple[str, str]] = {
    "def f(x, x_hat, z_mean, z_log_var):\n"
    f"    tf.debugging.assert_equal({_ON_DIGITS}, False, 'these are digits')\n"
    "    kl = ops.maximum(ops.mean(kl_of(z_mean, z_log_var), 0), 0.5)\n"
    "    return ops.mean(error_of(x, x_hat)) + ops.sum(kl)\n": ("crashed", "these are digits"),
    "def f(x, x_hat, z_mean, z_log_var):\n"
    f"    factor = ops.where({_ON_DIGITS}, np.nan, 1.0)\n"
    "    kl = ops.maximum(ops.mean(kl_of(z_mean, z_log_var), 0), 0.5)\n"
    "    return ops.mean(error_of(x, x_hat)) * factor + ops.sum(kl)\n": (
        "nan",
        "f.py:f, which is trained itself, made it NaN by epoch 1",
    ),
}


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("source", FAILING, ids=["crash", "nan"])
def test_what_fails_on_the_data_costs_its_own_runs(source: str, tmp_path: Path) -> None:
    """With a message that names the function; the others end well."""
    (tmp_path / "f.py").write_text(HEAD + source)
    status, message = FAILING[source]
    found = trained(planned("docs,f.py:f"))
    assert [record.status for record in found] == ["ok", status]
    assert message in found[1].message
    assert "f.py:f" in found[1].message


def _edited(function: LossFunction, edit: Callable[[str], str]) -> LossFunction:
    return replace(function, source=edit(function.source.decode()).encode(), sha256="0" * 64)


@pytest.mark.usefixtures("in_this_process")
def test_a_worker_elsewhere_has_the_file_that_was_planned(tmp_path: Path) -> None:
    """The source travels with the run; what it raises there is told with its line."""
    function = only(planned("my_vae.py:floored")).function
    assert function is not None
    (tmp_path / "my_vae.py").unlink()
    assert auditing.trained_loss(function)
    for edit, said in (
        (lambda text: f"raise RuntimeError('not here')\n{text}", "RuntimeError: not here"),
        (lambda text: f"{text}\nraise SystemExit(3)\n", "SystemExit: 3"),
        (lambda text: text.replace("def floored", "def other"), "trained itself"),
    ):
        with pytest.raises(LossbenchError, match=said):
            auditing.trained_loss(_edited(function, edit))


@pytest.mark.usefixtures("in_this_process")
def test_a_file_leaves_the_worker_as_it_was() -> None:
    """Its settings of Keras are its own affair, and so is its name: others' runs are theirs."""
    import random  # noqa: PLC0415
    import sys  # noqa: PLC0415

    function = only(planned("my_vae.py:floored")).function
    assert function is not None
    import keras  # noqa: PLC0415

    source = b"import keras\nkeras.config.set_floatx('float16')\n" + function.source
    path = [*sys.path]
    other = replace(function, name="random.py:floored", source=source, sha256="1" * 64)
    assert worker._loss(other)
    assert keras.config.floatx() == "float32"
    assert sys.modules["random"] is random
    assert sys.path[: len(path)] == path


@pytest.mark.slow
def test_tables_are_the_same_for_any_number_of_workers_and_after_a_stop(tmp_path: Path) -> None:
    """Byte for byte, the conventions' rows as those of a sweep without the function."""
    axes = [f"--{name.replace('_', '-')}={text}" for name, text in AXES.items() if name != "seeds"]
    losses = "--loss=docs,my_vae.py:floored"
    for out, seeds, loss, workers in (
        ("one", "2", losses, "1"),
        ("two", "1", losses, "2"),  # resumed by the next
        ("two", "2", losses, "2"),
        ("docs", "2", "--loss=docs", "1"),
    ):
        answer = command(
            *("sweep", *axes, loss, f"--seeds={seeds}", f"--out={out}", f"--workers={workers}"),
            folder=tmp_path,
        )
        assert answer.returncode == 0, answer.stderr
    for name in ("runs.csv", "history.csv", "summary.csv"):
        one, two, docs = ((tmp_path / out / name).read_text() for out in ("one", "two", "docs"))
        assert one == two
        assert {line for line in one.splitlines() if "floored" not in line} == {*docs.splitlines()}
