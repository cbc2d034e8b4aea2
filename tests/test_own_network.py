"""A network of one's own: what it builds, how it trains, and what is refused."""

import hashlib
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import lossbench as command
from typer.testing import CliRunner

import lossbench
from lossbench import building, worker
from lossbench.cli.app import app
from lossbench.errors import ExperimentError, LossbenchError, UsageError
from lossbench.experiment import TEMPLATE_NETS, Experiment, read, read_built, text_of
from lossbench.loss import LIKELIHOODS
from lossbench.network import Built, dense
from lossbench.nn import own_network
from lossbench.nn.model import initial_weights
from lossbench.nn.program import Program, Shape
from lossbench.store import Store

NETS = Path(__file__).parent.parent / "experiments" / "nets.py"
IMAGE, K, BATCH, N_STEPS = (8, 8, 1), 2, 16, 6
BAD = """
import keras
import numpy as np
from keras import layers

def _pair(shape, k, last=None, head=None, bias="zeros", **more):
    images, z = keras.Input(shape), keras.Input((k,))
    hidden = layers.Dense(4, bias_initializer=bias, **more)(layers.Flatten()(images))
    mean = layers.Dense(k)(hidden)
    encoder = keras.Model(images, [head(mean) if head else mean, layers.Dense(k)(hidden)])
    logits = layers.Reshape(shape)(layers.Dense(int(np.prod(shape)), activation=last)(z))
    return encoder, keras.Model(z, logits)

def three(shape, k):
    encoder, decoder = _pair(shape, k)
    return keras.Model(encoder.inputs, [*encoder.outputs, encoder.outputs[0]]), decoder

def narrow(shape, k):
    return _pair(shape, k + 1)

def small(shape, k):
    encoder, _ = _pair(shape, k)
    return encoder, _pair((2, 2, 1), k)[1]

def skip(shape, k):
    encoder, decoder = _pair(shape, k)
    seen = layers.Concatenate()([decoder.inputs[0], layers.Flatten()(encoder.inputs[0])])
    return encoder, keras.Model([decoder.inputs[0], encoder.inputs[0]], layers.Dense(64)(seen))

def alone(shape, k):
    return _pair(shape, k)[0]

def nothing(shape, k):
    return _pair(shape, k)[0], "a decoder"

def _drawn(models, rng):
    for model in models:
        model.set_weights([rng.random(weight.shape) for weight in model.get_weights()])
    return models

def fixed(shape, k):
    return _drawn(_pair(shape, k), np.random.default_rng(1))

def wild(shape, k):
    return _drawn(_pair(shape, k), np.random.default_rng())

def seeding(shape, k):
    keras.utils.set_random_seed(1)
    return _pair(shape, k)

def penalised(shape, k):
    return _pair(shape, k, kernel_regularizer="l2")

def crash(shape, k):
    raise ValueError("no such layer")

def sigmoid(shape, k):
    return _pair(shape, k, last="sigmoid")

def normed(shape, k):
    return _pair(shape, k, head=layers.BatchNormalization())

def hang(shape, k):
    while True:
        pass

def leave(shape, k):
    import os
    os._exit(3)
"""


def of(path: Path, function: str, **more: Any) -> Built:
    """Return a network of a file, as it is before it was looked at."""
    source = path.read_bytes()
    return Built(
        *(f"{path.name}:{function}", hashlib.sha256(source).hexdigest(), IMAGE, K, 0, 0),
        **{"file": path, "source": source} | more,
    )


def program(network: Any, likelihood: str = "bce") -> Program:
    """Return a stack of one."""
    kind = LIKELIHOODS[likelihood]
    return Program(Shape(network, kind, 1.0, BATCH, "adam", 1e-7, 1, N_STEPS, BATCH))


@pytest.fixture
def drawn() -> tuple[Any, ...]:
    """Return images, batches and noise of a few steps, and learning rates."""
    rng = np.random.default_rng(0)
    return (
        tf.constant(rng.random((64, 64), dtype=np.float32)),
        rng.integers(64, size=(N_STEPS, 1, BATCH)).astype(np.int32),
        rng.standard_normal((N_STEPS, 1, BATCH, K), dtype=np.float32),
        np.full(N_STEPS, 1e-2),
    )


@pytest.mark.parametrize("likelihood", ["bce", "mse"])
def test_a_dense_network_of_a_file_trains_as_the_own_one(
    drawn: tuple[Any, ...], likelihood: str
) -> None:
    """From the same weights, on the same batches and noise, it ends with the same ones."""
    ours = program(dense(64, K, (64,), "sigmoid"), likelihood)
    theirs = program(of(NETS, "dense", output="sigmoid"), likelihood)
    ours.refill([3], [1.0], [0.5])
    theirs.refill([3], [1.0], [0.5])
    for variable, value in zip(
        theirs.model.variables, initial_weights(dense(64, K, (64,), "sigmoid"), 3), strict=True
    ):
        variable.assign(value.reshape(variable.shape))
    for each in (ours, theirs):
        each.train(*drawn)
    for own, other in zip(ours.weights(), theirs.weights(), strict=True):
        np.testing.assert_allclose(other.ravel(), own.ravel(), atol=1e-5)


def test_state_that_is_not_trained_is_that_of_a_loop_in_keras(drawn: tuple[Any, ...]) -> None:
    """Moving means and variances of batch normalisation, and the weights beside them."""
    network = of(NETS, "normalised", output="sigmoid")
    trained = program(network)
    trained.refill([5], [1.0], [0.5])
    trained.train(*drawn)
    images, batches, noise, _ = drawn
    encoder, decoder = own_network.made(network, seed=5)
    adam = keras.optimizers.Adam(1e-2, epsilon=1e-7)
    weights = [*encoder.trainable_weights, *decoder.trainable_weights]
    for batch, e in zip(batches[:, 0], noise[:, 0], strict=True):
        x = tf.gather(images, batch)
        with tf.GradientTape() as tape:
            m, v = encoder(tf.reshape(x, (-1, *IMAGE)), training=True)
            logits = tf.reshape(decoder(m + tf.exp(v / 2) * e, training=True), (BATCH, 64))
            r = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(x, logits), -1)
            k = -0.5 * tf.reduce_sum(1 + v - m**2 - tf.exp(v), -1)
            loss = tf.reduce_mean(r + 0.5 * k)
        adam.apply(tape.gradient(loss, [w.value for w in weights]), weights)
    for own, variable in zip(
        trained.weights(), own_network.variables_of(encoder, decoder), strict=True
    ):
        np.testing.assert_allclose(own[0], np.asarray(variable), rtol=1e-4, atol=1e-5)
    moving = [v for v in own_network.variables_of(encoder, decoder) if "moving" in v.name]
    assert len(moving) == 4
    assert all(abs(np.asarray(v) - ("variance" in v.name)).max() > 1e-3 for v in moving)


def test_what_is_measured_does_not_depend_on_dropout_or_the_batch(drawn: tuple[Any, ...]) -> None:
    """A metric takes moving means; and two measurements agree."""
    trained = program(of(NETS, "normalised", output="sigmoid"))
    trained.refill([5], [1.0], [0.5])
    trained.train(*drawn)
    images = np.asarray(drawn[0])
    once, again, alone = (trained.latent_means(part) for part in (images, images, images[:3]))
    np.testing.assert_array_equal(once, again)
    np.testing.assert_allclose(alone, once[:, :3], atol=1e-5)


@pytest.mark.parametrize("function", ["dense", "normalised", "recurrent", "colour"])
def test_the_examples_build(function: str) -> None:
    """Batch normalisation, recurrent layers and attention; the colour net at its own size."""
    network = of(NETS, function)
    if function == "colour":
        network = replace(network, shape=(64, 64, 3))
    found = own_network.looked_at(network)
    assert found["untold"] == found["ends_in"] == ""
    assert isinstance(found["n_activations"], int)
    if function == "dense":
        assert found["n_parameters"] == dense(64, K, (64,), "sigmoid").n_parameters
        assert found["n_activations"] >= dense(64, K, (64,), "sigmoid").n_activations


def test_the_start_of_init_builds(tmp_path: Path) -> None:
    """It is written as it is, and not over a file."""
    CliRunner().invoke(app, ["init", str(tmp_path / "mine"), "--network"])
    assert (tmp_path / "mine.py").read_text() == TEMPLATE_NETS.read_text()
    assert own_network.looked_at(of(tmp_path / "mine.py", "build"))["untold"] == ""
    assert CliRunner().invoke(app, ["init", str(tmp_path / "mine"), "--network"]).exit_code != 0


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("three", "[z_mean, z_log_var], each (batch, 2); z is drawn here"),
        ("narrow", "shape (batch, 3), shape (batch, 3)"),
        ("small", "shape (batch, 2, 2, 1)"),
        ("skip", "sees more than z"),
        ("alone", "an encoder and a decoder"),
        ("nothing", "a str"),
        ("fixed", "the same weights under every seed"),
        ("wild", "another network each time"),
        ("penalised", "adds a loss of its own"),
        ("absent", "bad.py has no absent"),
    ],
)
def test_what_is_no_network_is_refused(tmp_path: Path, function: str, words: str) -> None:
    """With the shapes that were found and expected."""
    (tmp_path / "bad.py").write_text(BAD)
    with pytest.raises(LossbenchError) as caught:
        own_network.looked_at(of(tmp_path / "bad.py", function))
    assert words in str(caught.value)


def test_what_the_graph_shows_is_told(tmp_path: Path) -> None:
    """Batch normalisation on z_mean has no threshold; a sigmoid at the end is seen."""
    (tmp_path / "bad.py").write_text(BAD)
    normed, sigmoid = (of(tmp_path / "bad.py", name) for name in ("normed", "sigmoid"))
    assert "batch normalisation on z_mean" in str(own_network.looked_at(normed)["untold"])
    assert own_network.looked_at(sigmoid)["ends_in"] == "sigmoid"


AXES = {
    **{"loss": "docs", "reconstruction_loss": "bce", "beta": "1", "d": "64", "k": "2"},
    **{"seeds": "1", "epochs": "3"},
}


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[Built]:
    """Have networks built in this process; return which were."""
    seen: list[Built] = []

    def here(network: Any, cases: Any, *_: object) -> Iterator[Built]:
        for shape, k in cases:
            asked = replace(
                of(network.file.path, network.file.function, file=network.file.path),
                shape=shape,
                k=k,
            )
            seen.append(asked)
            yield read_built({**own_network.looked_at(asked), "shape": shape, "k": k})

    monkeypatch.setattr(building, "_looked_at", here)
    return seen


def asked(path: Path, function: str, **axes: str) -> Experiment:
    """Return an experiment with a network of a file."""
    return read(None, AXES | {"network": f"{path}:{function}"} | axes)


def test_content_and_function_make_the_network_and_no_path(
    tmp_path: Path, looked: list[Built]
) -> None:
    """A frozen experiment knows what was built; ids follow the content."""
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "bad.py").write_text(BAD + "# changed\n" * (folder == "c"))
    ids, texts = [], []
    for folder, function in (("a", "sigmoid"), ("b", "sigmoid"), ("c", "sigmoid"), ("a", "normed")):
        found = asked(
            tmp_path / folder / "bad.py", function, reconstruction_loss="mse", output="identity"
        )
        found = building.built(found)
        shaped = found.resolved(lambda _: (64, 1437, ()))
        shaped = replace(shaped, image_shapes={"digits at d=64": (8, 8)})
        (run,) = shaped.runs()
        assert run.built is not None
        assert run.architecture.n_parameters == run.built.n_parameters > 0
        ids.append(run.run_id)
        texts.append((shaped, text_of(shaped)))
    assert len(set(ids)) == 3
    assert ids[0] == ids[1]
    shaped, text = texts[0]
    frozen = tmp_path / "a" / "experiment.toml"
    frozen.write_text(text)
    n_looked = len(looked)
    same = asked(tmp_path / "b" / "bad.py", "sigmoid", reconstruction_loss="mse", output="identity")
    again = building.built(same, None, read(frozen))
    assert len(looked) == n_looked
    assert again.networks["bad.py:sigmoid"].built == shaped.networks["bad.py:sigmoid"].built
    (tmp_path / "a" / "bad.py").write_text("changed = True\n")
    with pytest.raises(ExperimentError, match="not the one that was trained"):
        read(frozen)


def test_a_sigmoid_before_a_sigmoid_is_refused(tmp_path: Path, looked: list[Built]) -> None:
    """With what to do about it."""
    (tmp_path / "bad.py").write_text(BAD)
    with pytest.raises(ExperimentError, match="ends in a sigmoid") as caught:
        building.built(asked(tmp_path / "bad.py", "sigmoid"))
    assert "no activation" in caught.value.expected
    building.built(
        asked(tmp_path / "bad.py", "sigmoid", reconstruction_loss="mse", output="identity")
    )
    assert len(looked) == 2


def test_no_threshold_is_told_of_a_network_that_it_does_not_hold_for(
    tmp_path: Path, looked: list[Built]
) -> None:
    """Predict has no verdict, and recommend no weight."""
    assert not looked
    (tmp_path / "bad.py").write_text(BAD)
    mine = f"{tmp_path}/bad.py:normed"
    axes = AXES | {"network": mine}
    del axes["seeds"], axes["epochs"]
    found = lossbench.predict(**axes)
    assert found.settings[0].collapses is None
    assert found.thresholds[0].critical == ()
    with pytest.raises(UsageError, match="batch normalisation on z_mean"):
        lossbench.recommend(kl=1, network=mine, d=64)


@pytest.mark.parametrize("text", ["nets.py", "nets.py:a b", "no/such/nets.py:build", "densee"])
def test_a_name_that_is_none_is_refused(text: str) -> None:
    """By the rule, or with the nearest name."""
    with pytest.raises(ExperimentError) as caught:
        read(None, AXES | {"network": text})
    assert "network" in str(caught.value)
    assert "did you mean" in caught.value.remedy or text != "densee"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("crash", "ValueError: no such layer"),
        ("hang", "within 20 seconds"),
        ("leave", "exit code 3"),
    ],
)
def test_a_build_that_fails_ends_the_sweep_before_training(
    tmp_path: Path, function: str, words: str
) -> None:
    """In a process of its own; nothing is written."""
    (tmp_path / "bad.py").write_text(BAD)
    arguments = [f"--network={tmp_path}/bad.py:{function}", "--time-limit=20", "--out=made"]
    arguments += [f"--{name.replace('_', '-')}={value}" for name, value in AXES.items()]
    answer = command("sweep", *arguments, folder=tmp_path)
    assert answer.returncode == 2, answer.stderr
    assert words in " ".join(answer.stderr.split())
    assert not (tmp_path / "made").exists()


def test_a_seed_that_a_file_sets_is_not_in_place_of_the_runs(tmp_path: Path) -> None:
    """Scripts often set one; every run has its own all the same."""
    (tmp_path / "bad.py").write_text(BAD)
    network = of(tmp_path / "bad.py", "seeding")
    one, again, other = (own_network.made(network, seed)[0].get_weights() for seed in (0, 0, 1))
    assert all(map(np.array_equal, one, again))
    assert not all(map(np.array_equal, one, other))


def test_what_other_threads_draw_changes_no_weight() -> None:
    """A worker of Dask draws from Python's generator whenever it sends something."""
    network = of(NETS, "dense")
    stop = threading.Event()

    def draw() -> None:
        while not stop.is_set():
            random.random()  # noqa: S311 - as Dask does

    def weights() -> list[Any]:
        return [np.asarray(v) for v in own_network.variables_of(*own_network.made(network, 1))]

    alone = weights()
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        beside = [weights() for _ in range(5)]
    finally:
        stop.set()
        thread.join()
    for each in beside:
        assert all(map(np.array_equal, each, alone))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
def test_runs_are_the_same_bytes_whoever_trains_them(tmp_path: Path) -> None:
    """With dropout and batch normalisation, by one worker and by two, at once and resumed."""
    axes = AXES | {"network": f"{NETS}:normalised", "seeds": "2", "beta": "0.1,1"}
    once = lossbench.sweep(**axes, out=tmp_path / "once", workers=2)
    lossbench.sweep(**axes | {"beta": "1"}, out=tmp_path / "twice", workers=1, save_weights=True)
    twice = lossbench.sweep(**axes, out=tmp_path / "twice", workers=1)
    one, other = (Store(each.plan.store.folder) for each in (once, twice))
    for name in ("runs.csv", "history.csv"):
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()
    assert (one.folder / "nets.py").read_bytes() == NETS.read_bytes()
    (run,) = (r for r in twice.plan.runs if (r.beta, r.seed) == (1.0, 0))
    weights, dataset = other.weights(run.run_id), twice.plan.dataset(run)
    z_mean, _ = worker.encode(run, weights, dataset.test)
    means = other.arrays(run.run_id)["latent_means"]
    np.testing.assert_allclose(z_mean[: len(means)], means, atol=1e-5)
    exported = tmp_path / "vae.keras"
    worker.export(run, weights, exported)
    loaded = keras.models.load_model(exported)
    by_file = loaded.get_layer("encoder").predict(dataset.test, verbose=0)[0]
    np.testing.assert_allclose(by_file, z_mean, atol=1e-5)
