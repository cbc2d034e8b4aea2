"""The time limit is one of a run: what stands beside it in its stack changes nothing."""

from types import SimpleNamespace

import numpy as np
import pytest

from lossbench import experiment
from lossbench.experiment import Stack
from lossbench.nn import train as training


@pytest.fixture
def full() -> Stack:
    """Return a full stack of eight runs of ten epochs, each with two seconds."""
    axes = {"d": "4", "k": "1", "loss": "docs", "reconstruction_loss": "bce", "beta": "1"}
    more = {"seeds": "8", "epochs": "10", "hidden": "linear", "time_limit": "2"}
    (stack,) = experiment.stacks(experiment.read(None, axes | more).runs())
    return stack


@pytest.mark.parametrize("n_runs", [1, 3, 8])
@pytest.mark.parametrize(("seconds", "is_out_of_time"), [(1.5, False), (1.7, True)])
def test_a_run_has_the_same_time_alone_in_its_padded_stack(
    full: Stack,
    monkeypatch: pytest.MonkeyPatch,
    n_runs: int,
    seconds: float,
    is_out_of_time: bool,
) -> None:
    """Ten epochs of 1.5 seconds fit into 8 times 2, ten of 1.7 do not, whatever the stack holds."""
    images = np.random.default_rng(0).uniform(size=(128, 4)).astype(np.float32)
    clock = SimpleNamespace(now=0.0)

    def train_epochs(_program: object, _images: object, _members: object, epochs: range) -> None:
        clock.now += seconds * len(epochs)

    monkeypatch.setattr(training, "_train_epochs", train_epochs)
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: clock.now))
    runs = full.runs[:n_runs]
    if is_out_of_time:
        with pytest.raises(training.OutOfTime, match="epoch 10 of 10"):
            training.train_stack(runs, full.width, images, images)
    else:
        assert len(training.train_stack(runs, full.width, images, images)) == n_runs
