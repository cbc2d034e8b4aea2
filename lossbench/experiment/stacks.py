"""Stacks: runs that one compiled program trains side by side."""

import functools
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from lossbench.experiment.settings import RunSettings

_BYTES_PER_PARAMETER = 16  # float32 weight, gradient and two moments of Adam
_CACHE_BYTES = 2**20
_WIDEST = 8
_MEMBER_FIELDS = ("loss", "definition", "beta", "beta_eff", "a", "b", "seed")


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
        return _shape(self.runs[0])


def stacks(runs: Iterable[RunSettings], *, keep_weights: bool = False) -> tuple[Stack, ...]:
    """Return the runs gathered into stacks, shape by shape."""
    groups: dict[tuple[object, ...], list[RunSettings]] = {}
    for run in runs:
        groups.setdefault(_shape(run), []).append(run)
    return tuple(
        Stack(tuple(group[start : start + width]), width, keep_weights)
        for group in groups.values()
        for width in (_width(group[0]),)
        for start in range(0, len(group), width)
    )


def _shape(run: RunSettings) -> tuple[object, ...]:
    return tuple(
        getattr(run, field.name) for field in fields(run) if field.name not in _MEMBER_FIELDS
    )


def n_parameters(run: RunSettings) -> int:
    """Return the number of weights and biases of one VAE."""
    encoder = (run.d, *run.hidden)
    decoder = (run.k, *reversed(run.hidden), run.d)
    layers = [
        *itertools.pairwise(encoder),
        (encoder[-1], run.k),
        (encoder[-1], run.k),
        *itertools.pairwise(decoder),
    ]
    return sum((fan_in + 1) * units for fan_in, units in layers)


def _width(run: RunSettings) -> int:
    """Return the members a stack of this shape has: a power of two that fits the cache.

    On one thread the gain of stacking is over once weights, gradients and optimizer state
    fill about 1 MB.
    """
    members = _CACHE_BYTES / (_BYTES_PER_PARAMETER * n_parameters(run))
    return min(_WIDEST, 1 << max(0, round(math.log2(members))))
