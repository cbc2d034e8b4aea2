"""Stacks: runs that one compiled program trains side by side."""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lossbench.settings import RunSettings

_BYTES_PER_PARAMETER = 16  # float32 weight, gradient and two moments of Adam
_BYTES_PER_ACTIVATION = (
    8  # float32 value and gradient; a step of convolutions was measured at 7 to 9
)
_STACK_BYTES = {"CPU": 2**21, "GPU": 2**30}
_WIDEST = {"CPU": 8, "GPU": 64}
Device = Literal["CPU", "GPU"]


@dataclass(frozen=True)
class Stack:
    """Runs that differ only in what enters the compiled program as a number.

    ``width`` is the number of members that the program is compiled for; a stack with fewer
    runs is padded to it, so that a member's bytes do not depend on its neighbours. ``keep_weights``
    asks for the trained weights as well.
    """

    runs: tuple[RunSettings, ...]
    width: int
    keep_weights: bool = False

    @functools.cached_property
    def shape(self) -> tuple[object, ...]:
        """What the runs share; stacks of one shape share one compiled program."""
        return self.runs[0].shape

    @property
    def time_limit(self) -> float:
        """Seconds that the stack may take: the limit of a run for each member it is compiled for.

        A padded stack costs what a full one costs, so a run has the same time in both.
        """
        return self.runs[0].time_limit * self.width


def stacks(
    runs: Iterable[RunSettings], *, keep_weights: bool = False, device: Device = "CPU"
) -> tuple[Stack, ...]:
    """Return the runs gathered into stacks, shape by shape, as wide as pays on a device.

    Runs of one seed come together: a stack draws the batches and the noise of a seed once.
    """
    groups: dict[tuple[object, ...], list[RunSettings]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        groups.setdefault(run.shape, []).append(run)
    return tuple(
        Stack(tuple(group[start : start + width]), width, keep_weights)
        for group in groups.values()
        for width in (_width(group[0], device),)
        for start in range(0, len(group), width)
    )


def bytes_of(run: RunSettings, batch_size: int) -> int:
    """Return the least memory that a step of one run takes: parameters and activations."""
    network = run.architecture
    of_batch = _BYTES_PER_ACTIVATION * batch_size * network.n_activations
    return _BYTES_PER_PARAMETER * network.n_parameters + of_batch


def largest_batch(run: RunSettings, memory: float) -> int:
    """Return the largest batch of a run whose step fits into ``memory`` bytes; 0 if none does."""
    of_one = bytes_of(run, 1) - bytes_of(run, 0)
    return max(0, int((memory - bytes_of(run, 0)) // of_one))


def _width(run: RunSettings, device: Device) -> int:
    """Return the members a stack of this shape has: a power of two.

    On one thread of a CPU most of the gain of stacking is there once weights, gradients and
    optimizer state fill about 2 MB, or with 8 members: twice as many are 3 to 5% faster still
    (``results/width.csv``), less than the padding of a shape's last stack then costs. A
    GPU's are as wide as fits 1 GB, at most 64: on an H100 small networks gain up to 64 members,
    those of 784 inputs up to 8 (``results/gpu.csv``). Convolutions keep more activations than
    parameters, and gain less: 3.7 ms a step alone and 3.1 each of two with 32 and
    64 filters at 8 x 8; at 28 x 28 two of keras.io's took longer. Their activations count as well.
    """
    if run.function or run.built:  # it takes the batch of one model
        return 1
    batch_size = run.batch_size if run.architecture.has_convolutions else 0
    members = _STACK_BYTES[device] / bytes_of(run, batch_size)
    return min(_WIDEST[device], 1 << max(0, round(math.log2(members))))
