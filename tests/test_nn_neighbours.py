"""The members of a stack do not disturb each other."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from small_runs import eight_runs, small_run

from lossbench.experiment import Stack
from lossbench.nn.train import OutOfTime, train_stack
from lossbench.run import Record
from lossbench.worker import train


def _as_bytes(result: Record) -> list[object]:
    arrays = {name: array.tobytes() for name, array in result.arrays.items()}
    return [result.metrics, result.history, arrays]


@pytest.mark.slow
def test_a_member_that_turns_non_finite_disturbs_no_other(
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """It is recorded as nan; every byte of the others is as with a healthy neighbour."""
    runs = eight_runs(optimizer="adam", batch_size=128)
    broken = [replace(run, b=1e38) if number == 3 else run for number, run in enumerate(runs)]
    healthy = train_stack(runs, 8, *split)
    records = train(Stack(runs=tuple(broken), width=8), *split)
    assert [record.status for record in records] == ["ok"] * 3 + ["nan"] + ["ok"] * 4
    assert (records[3].metrics, records[3].arrays) == ({}, {})
    for number, (result, record) in enumerate(zip(healthy, records, strict=True)):
        if number != 3:
            assert _as_bytes(record) == _as_bytes(result)


def test_a_remnant_has_the_bytes_of_a_full_stack(
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """A run alone in a padded stack, or beside others, in any place, leaves the same bytes."""
    runs = eight_runs(optimizer="adam", batch_size=128)
    full = [_as_bytes(result) for result in train_stack(runs, 8, *split)]
    for chosen in ([5], [2, 6, 1], [7, 6, 5, 4, 3, 2, 1, 0]):
        remnant = train_stack([runs[number] for number in chosen], 8, *split)
        assert [_as_bytes(result) for result in remnant] == [full[number] for number in chosen]


@pytest.mark.slow
def test_the_epochs_of_a_call_do_not_matter(
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """One epoch a call, several, and a last call with fewer leave the same run."""
    changes = {"optimizer": "adam", "batch_size": 128, "epochs": 5, "learning_rate_decay": 0.1}
    runs = {every: small_run(eval_every=every, **changes) for every in (1, 4, 5)}
    results = {every: train_stack([run], 8, *split)[0] for every, run in runs.items()}
    for every in (4, 5):
        for one, other in zip(results[1].weights, results[every].weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
        for epoch, bound in zip(
            *(results[every].history[c] for c in ("epoch", "elbo")), strict=True
        ):
            assert bound == pytest.approx(results[1].history["elbo"][epoch - 1], rel=1e-6)
    assert results[4].history["epoch"] == [4, 5]


@pytest.mark.slow
def test_a_stack_as_wide_as_on_a_gpu_trains_the_same_runs(
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """But for rounding: what stands beside a run does not matter, however many there are."""
    runs = eight_runs(optimizer="adam", batch_size=128)
    narrow, wide = (train_stack(runs, width, *split) for width in (8, 64))
    for one, other in zip(narrow, wide, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-5, abs=1e-6)


def test_a_stack_past_its_time_is_given_up(
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """The worker reports a timeout for every run, and how far the stack came."""
    run = small_run(optimizer="adam", batch_size=128, time_limit=1e-9)
    with pytest.raises(OutOfTime, match="epoch 1 of 2"):
        train_stack([run], 8, *split)
    (record,) = train(Stack(runs=(run,), width=8), *split)
    assert (record.status, record.metrics) == ("timeout", {})
