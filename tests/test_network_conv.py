"""Networks of convolutions: sizes, sides of any length, what they need, and runs that repeat."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import lossbench
from small_runs import eight_runs, program_of, small_run, trained_weights

from lossbench import engine
from lossbench.data import load
from lossbench.errors import ExperimentError
from lossbench.experiment import bytes_of, largest_batch, read, stacks
from lossbench.loss import LIKELIHOODS
from lossbench.network import Network, conv, keras_io_conv
from lossbench.nn.model import StackedVAE, initial_weights, plain
from lossbench.nn.terms import term
from lossbench.prediction import predict
from lossbench.store import Store
from lossbench.sweeping import plan, sweep

SMALL = {"network": "conv", "filters": (2, 3), "hidden": (5,), "image": (4, 4)}


def test_the_network_of_keras_io_has_its_parameters() -> None:
    """Those that its page prints, of the description and of the Keras models."""
    network = keras_io_conv((28, 28), 2, "sigmoid")
    encoder, decoder = plain(network, initial_weights(network, 0))
    assert (encoder.count_params(), decoder.count_params()) == (69_076, 65_089)
    assert network.n_parameters == 69_076 + 65_089


NETWORKS = [
    conv((5, 7, 3), 2, (4, 6), 3, (8,), "sigmoid"),
    conv((1, 9), 2, (3,), 2, (), "linear"),
    conv((11, 6, 2), 1, (2, 3, 4, 5), 5, (7, 6), "sigmoid"),
    keras_io_conv((6, 5, 3), 3, "sigmoid"),
]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_the_plain_model_answers_as_a_member_of_the_stack(network: Network) -> None:
    """For images of any sides and channels; each member as if it were alone."""
    generator = np.random.default_rng(0)
    stacked = StackedVAE(network, term(LIKELIHOODS["mse"]), 2, "float32")
    for variable in stacked.variables:
        variable.assign(generator.standard_normal(variable.shape) / 3)
    x = generator.random((2, 4, network.d), np.float32)
    z = generator.standard_normal((2, 4, network.k), np.float32)
    told = (*stacked.encode(x), stacked.decode(z), stacked.reconstruct(z))
    for member in range(2):
        weights = [np.asarray(variable)[member] for variable in stacked.variables]
        assert sum(weight.size for weight in weights) == network.n_parameters
        encoder, decoder = plain(network, weights)
        answers = (*encoder(x[member]), *decoder(z[member]))
        for expected, answer in zip(told, answers, strict=True):
            np.testing.assert_allclose(np.asarray(answer), expected[member], rtol=1e-4, atol=1e-5)


def test_members_of_a_stack_train_as_they_do_alone() -> None:
    """Nothing couples two members: not one byte of another's."""
    images = load("digits", 16).train[:100]
    together = eight_runs(**SMALL)
    alone = [eight_runs(**SMALL)[3]] * 8
    wide = program_of(together[0], 8)
    among, same = (trained_weights(wide, runs, images)[3] for runs in (together, alone))
    assert all(np.array_equal(one, other) for one, other in zip(among, same, strict=True))


def test_a_network_is_part_of_a_run_only_where_it_is_another() -> None:
    """An id of a dense run is what it was; filters make no difference to who has none."""

    def ids(**axes: str) -> set[str]:
        return {run.run_id for run in read(None, {"d": "64", "seeds": "1", **axes}).runs()}

    assert "network" not in small_run().identity()
    assert ids() == ids(network="dense")
    asked = {"filters": "8x16,4", "kernel_size": "3,5"}
    assert len(ids(network="dense,conv,keras-io-conv", **asked)) == len(ids()) * (1 + 4 + 1)
    assert ids(network="keras-io-conv") == ids(network="keras-io-conv", hidden="64")


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"filters": "8"}, "no network of the experiment has it"),
        ({"kernel_size": "5", "network": "keras-io-conv"}, "no network of the experiment has it"),
        ({"hidden": "8", "network": "keras-io-conv"}, "no network of the experiment has it"),
        ({"network": "conv", "filters": "linear"}, "`filters` has a value"),
        ({"network": "keras_io_conv"}, "`network`: there is no such network"),
    ],
)
def test_what_a_network_does_not_have_is_refused(axes: dict[str, str], words: str) -> None:
    """Before anything is trained."""
    with pytest.raises(ExperimentError, match=words):
        read(None, {"d": "64", **axes}).runs()


def test_a_table_is_refused_and_images_of_any_sides_are_not(tmp_path: Path) -> None:
    """By a sweep and by a prediction, with the shape that was found."""
    generator = np.random.default_rng(0)
    np.save(tmp_path / "flat.npy", generator.random((200, 10)))
    np.save(tmp_path / "colour.npy", generator.random((200, 5, 7, 3)))

    def asked(name: str) -> Any:
        axes = {"dataset": str(tmp_path / name), "network": "conv", "hidden": "8"}
        return read(None, {"batch_size": "16", "seeds": "1", **axes})

    for refused in (predict, lambda it: plan(it, tmp_path / "out")):
        with pytest.raises(ExperimentError, match="this data is a table") as caught:
            refused(asked("flat.npy"))
        assert "(10,)" in caught.value.received
    (first, *_) = plan(asked("colour.npy"), tmp_path / "out").runs
    assert (first.image, first.architecture.d) == ((5, 7, 3), 105)
    assert predict(asked("colour.npy")).settings[0].kl is None


def test_activations_count_for_the_width_of_a_stack_of_convolutions() -> None:
    """A batch of larger images leaves room for fewer members; dense layers are as they were."""

    def width(**changes: Any) -> int:
        (stack,) = stacks([small_run(**(SMALL | changes))])
        return stack.width

    assert width() == 8
    assert width(batch_size=4096) < width(batch_size=512) <= width()
    assert width(d=784, image=(28, 28), network="keras-io-conv", batch_size=128) == 1
    assert width(network="dense") == width(network="dense", batch_size=4096)


def test_a_step_that_does_not_fit_into_memory_is_refused_with_the_batch_that_would(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before a worker starts."""
    axes = {"d": "64", "k": "2", "seeds": "1", "network": "keras-io-conv", "batch_size": "512"}
    asked = plan(read(None, axes), tmp_path / "out")
    run = asked.runs[0]
    room = bytes_of(run, 100)
    assert largest_batch(run, room) == 100
    assert largest_batch(run, 1) == 0
    monkeypatch.setattr(engine, "memory", lambda: 2 * room)
    with pytest.raises(ExperimentError, match="does not fit into memory") as caught:
        sweep(asked, n_workers=2)
    assert "batch_size = 100" in caught.value.remedy
    assert not list((tmp_path / "out").glob("runs/*.json"))


@pytest.mark.slow
def test_a_sweep_of_convolutions_repeats_resumes_and_exports(tmp_path: Path) -> None:
    """One worker or two, at once or in two parts: the same bytes; and a Keras model of a run."""
    grid = (
        *("sweep", "--d", "64", "--k", "2", "--loss", "blog,docs", "--beta", "0.1"),
        *("--reconstruction-loss", "bce", "--network", "conv", "--filters", "4x8"),
        *("--hidden", "8", "--epochs", "2"),
    )
    for asked in (
        ("--seeds", "3", "--workers", "1", "--out", "one", "--save-weights"),
        ("--seeds", "1", "--workers", "2", "--out", "two"),
        ("--seeds", "3", "--workers", "2", "--out", "two"),
        ("--seeds", "3", "--workers", "2", "--out", "two"),
    ):
        answer = lossbench(*grid, *asked, folder=tmp_path)
        assert answer.returncode == 0, answer.stderr
    for table in ("runs.csv", "history.csv", "summary.csv"):
        assert (tmp_path / "one" / table).read_bytes() == (tmp_path / "two" / table).read_bytes()
    run_id = str(Store(tmp_path / "one").runs()["run_id"].iloc[0])
    answer = lossbench("export", f"one:run_id={run_id}", "model.keras", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
