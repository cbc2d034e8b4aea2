"""Runs of one shape come together in stacks."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from asked import Write

from lossbench.experiment import read, stacks
from lossbench.settings import RunSettings

_RESULTS = Path(__file__).parent.parent / "results"


@pytest.fixture
def many(write: Write) -> tuple[RunSettings, ...]:
    """Return runs of many shapes, some of them too large to stack."""
    return read(
        write(
            "[sweep]\nd = [16, 64, 784]\nk = [2, 8]\nhidden = [[], [64], [512]]\nseeds = 3\n"
            "reconstruction_loss = ['bce', 'mse']\nbeta = [0.1, 1]\nepochs = [1, 2]\n"
        )
    ).runs()


def test_every_run_is_in_exactly_one_stack(many: tuple[RunSettings, ...]) -> None:
    """No run is lost and none is trained twice."""
    stacked = [run.run_id for stack in stacks(many) for run in stack.runs]
    assert sorted(stacked) == sorted(run.run_id for run in many)


def test_the_runs_of_a_stack_differ_only_in_loss_beta_and_seed(
    many: tuple[RunSettings, ...],
) -> None:
    """Whatever is compiled in is the same for all members, and has the same shape and width."""
    free = {"loss", "beta", "seed"}
    for stack in stacks(many):
        assert 1 <= len(stack.runs) <= stack.width
        assert (
            len(
                {
                    json.dumps({k: v for k, v in run.identity().items() if k not in free})
                    for run in stack.runs
                }
            )
            == 1
        )
    assert len({stack.shape for stack in stacks(many)}) == 3 * 2 * 3 * 2 * 2
    assert len({(stack.shape, stack.width) for stack in stacks(many)}) == 3 * 2 * 3 * 2 * 2


def test_only_the_last_stack_of_a_shape_is_not_full(many: tuple[RunSettings, ...]) -> None:
    """A shape of n runs takes no more stacks than it must."""
    by_shape: dict[object, list[int]] = {}
    for stack in stacks(many):
        by_shape.setdefault((stack.shape, stack.width), []).append(len(stack.runs))
    for (_, width), sizes in by_shape.items():
        assert sizes[:-1] == [width] * (len(sizes) - 1)


def test_the_runs_of_a_seed_come_together(many: tuple[RunSettings, ...]) -> None:
    """Batches and noise of a seed are drawn once a stack, so they are drawn as seldom as can be."""
    n_seeds: dict[object, list[int]] = {}
    for stack in stacks(many):
        n_seeds.setdefault(stack.shape, []).append(len({run.seed for run in stack.runs}))
    for drawn in n_seeds.values():
        assert sum(drawn) <= 3 + len(drawn) - 1


def test_a_remnant_is_as_wide_as_a_full_stack(many: tuple[RunSettings, ...]) -> None:
    """The width belongs to the shape, so one run that is retried gives the same bytes."""
    widths = {stack.shape: stack.width for stack in stacks(many)}
    for run in many:
        (stack,) = stacks([run])
        assert stack.width == widths[stack.shape]


def test_a_stack_is_about_as_wide_as_was_measured_to_be_fastest() -> None:
    """Within a tenth of the fastest width of ``results/width.csv``, one thread on each core."""
    measured = pd.read_csv(_RESULTS / "width.csv").query("threads == 1")
    for (d, hidden, k), widths in measured.groupby(["d", "hidden", "k"]):
        axes = {"dataset": "mnist", "d": str(d), "hidden": str(hidden), "k": str(k)}
        (stack,) = stacks(read(overrides=axes).runs()[:1])
        times = widths.set_index("width")["ms_per_model_epoch"]
        assert times[stack.width] <= 1.1 * times.min(), (d, hidden, k, stack.width)


@pytest.mark.parametrize(("d", "hidden", "width"), [(64, "64", 64), (784, "512", 64)])
def test_a_gpu_takes_wide_stacks(d: int, hidden: str, width: int) -> None:
    """As many members as fit 1 GB, at most 64: a shape's runs go into fewer stacks."""
    runs = read(
        overrides={"d": str(d), "hidden": hidden, "k": "2", "seeds": "10", "dataset": "mnist"}
    ).runs()
    wide = stacks(runs, device="GPU")
    assert {stack.width for stack in wide} == {width}
    assert {run for stack in wide for run in stack.runs} == set(runs)
    assert len(wide) < len(stacks(runs))


def test_parameters_are_counted_by_hand() -> None:
    """At d = 64, h = 64, k = 2: encoder 4160, two heads of 130, decoder 192 + 4160."""
    (run,) = read(
        overrides={
            "d": "64",
            "k": "2",
            "loss": "docs",
            "reconstruction_loss": "bce",
            "beta": "1",
            "seeds": "1",
        }
    ).runs()
    assert run.architecture.n_parameters == 4160 + 2 * 130 + 192 + 4160
    assert replace(run, hidden=()).architecture.n_parameters == 2 * 130 + 192
