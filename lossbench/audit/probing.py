"""Asks a loss and takes its total out of the answer, once for each seed if it is stochastic."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lossbench.audit.answer import Answer, Ask, Failure, Output, Stopped
from lossbench.audit.probe import Floats, Probe

N_SEEDS = 24
_TOTALS = ("loss", "total_loss", "total", "objective", "loss_total", "vae_loss")
_ROUNDING = 40.0  # of a sum of many numbers, in units of the last place
_MISFIT = 5e-4
UNEVEN = 0.02  # how far a part may count other than once


class Probing:
    """A loss under examination.

    ``value`` is its total on a probe, one number a seed ``(n_seeds,)``. ``form`` says what it
    returns and ``total`` which outputs were added up. ``Stopped`` if it fails.
    """

    def __init__(self, ask: Ask, base: Probe) -> None:
        self._ask = ask
        self._seeds: tuple[int, ...] = (0,)
        self.n_calls = 0
        self.mutated: tuple[str, ...] = ()
        self.single = False
        answer = self.answer(base)
        self.total = _total(answer, self.answer(replace(base, mean=1.0, low=-1.0, high=0.5)))
        first = answer.outputs[self.total[0]]
        self.form = _form(answer, first, base)
        self.part_shape = first.shape
        busy = replace(base, mean=1.0, low=-1.0, high=-0.5)
        one, other = (self.value(replace(busy, seed=seed)) for seed in (0, 1))
        rounding = self.rounding(np.array([one, other]))
        self.stochastic = bool(abs(one - other).max() > rounding)
        if self.stochastic:
            self._seeds = tuple(range(N_SEEDS))

    def answer(self, probe: Probe) -> Answer:
        """Return the whole answer to a probe; ``Stopped`` if it is none."""
        self.n_calls += 1
        answer = self._ask(probe)
        if answer.failure is not None:
            raise Stopped(answer.failure)
        self.mutated = self.mutated or answer.mutated
        return answer

    def value(self, probe: Probe, *, finite: bool = True) -> Floats:
        """Return the total, a number a seed; NaN, or ``Stopped``, where it is not finite."""
        found = []
        for seed in self._seeds:
            outputs = self.answer(replace(probe, seed=seed + probe.seed)).outputs
            chosen = [outputs[place] for place in self.total if place < len(outputs)]
            _check_numbers(chosen)
            self.single = self.single or any(out.single for out in chosen)
            bad = any(out.n_not_finite for out in chosen)
            if bad and finite:
                raise Stopped(Failure("not finite", "", _described(probe)))
            found.append(np.nan if bad else sum(out.mean for out in chosen))
        return np.array(found)

    def values(self, probes: Sequence[Probe]) -> Floats:
        """Return the totals ``(n_probes, n_seeds)``."""
        return np.array([self.value(probe) for probe in probes])

    def rounding(self, values: Floats) -> float:
        """Return how far rounding alone may move these values."""
        eps = np.finfo(np.float32 if self.single else np.float64).eps
        return float(_ROUNDING * eps * np.abs(values).max(initial=0.0))


@dataclass(frozen=True)
class Fit:
    """A least-squares fit: coefficients ``(n_features, n_seeds)``, constant, relative misfit.

    It ``holds`` if the misfit is explained by rounding and chance.
    """

    coefficients: Floats
    constant: Floats
    misfit: float
    holds: bool


def fit(probing: Probing, features: NDArray[np.float64], values: Floats) -> Fit:
    """Return the fit of values ``(n_probes, n_seeds)`` to features ``(n_probes, n_features)``."""
    scale = np.abs(features).max(axis=0)
    scale[scale == 0] = 1.0
    design = np.column_stack([features / scale, np.ones(len(features))])
    solution = np.linalg.lstsq(design, values, rcond=1e-11)[0]
    residual = values - design @ solution
    spread = float(np.sqrt(np.mean((values - values.mean(axis=0)).mean(axis=1) ** 2)))
    rest = float(np.sqrt(np.mean(residual.mean(axis=1) ** 2)))
    n_seeds = values.shape[1]
    chance = 0.0
    if n_seeds > 1:
        chance = 3 * float(np.sqrt(np.mean(residual.var(axis=1, ddof=1) / n_seeds)))
    return Fit(
        coefficients=solution[:-1] / scale[:, None],
        constant=solution[-1],
        misfit=rest / spread if spread else 0.0,
        holds=rest <= _MISFIT * spread + probing.rounding(values) + chance,
    )


def _total(answer: Answer, moved: Answer) -> tuple[int, ...]:
    """Return the places of the outputs that make up the total.

    A dict's own total, else the first output; a pair of which one knows nothing of the latents
    is (reconstruction, KL), to be added.
    """
    outputs = answer.outputs
    if not outputs:
        raise Stopped(Failure("type", "", f"an empty {answer.returned}"))
    for name in _TOTALS:
        for place, out in enumerate(outputs):
            if out.name.lower() == name:
                return (place,)
    _check_numbers(outputs[:1])
    pair = len(outputs) == 2 and not any(out.type for out in outputs)
    still = [one.mean == two.mean for one, two in zip(outputs, moved.outputs, strict=False)]
    return (0, 1) if pair and still == [True, False] else (0,)


def _check_numbers(outputs: Sequence[Output]) -> None:
    for out in outputs:
        if out.type:
            raise Stopped(Failure("type", "", out.type))


def _form(answer: Answer, first: Output, base: Probe) -> str:
    """Return what the loss returns, in words; ``Stopped`` for a shape that is no loss's."""
    n_values = int(np.prod(first.shape)) if first.shape else 1
    inner = base.d // base.shape[-1] if len(base.shape) == 3 else base.d
    if n_values == 1:
        form = "a scalar"
    elif first.shape[0] == base.rows and n_values == base.rows:
        form = "one value per sample"
    elif first.shape[0] == base.rows and n_values in (base.rows * base.d, base.rows * inner):
        form = "one value per pixel"
    else:
        shape = f"shape {first.shape} from a batch of {base.rows}, d {base.d}, k {base.k}"
        raise Stopped(Failure("shape", "", shape))
    return f"a {answer.returned} with {form}" if answer.returned else form


def _described(probe: Probe) -> str:
    return (
        f"x between 0.2 and 0.8, x_hat around {probe.level:g}, z_mean up to "
        f"{1.3 * probe.mean:.2g}, z_log_var between {probe.low:g} and {probe.high:g}"
    )


def share(probing: Probing, got: Floats, around: Floats, expected: float) -> float | None:
    """Return how often a part counts; ``None`` if that is once."""
    chance = 4 * float(got.std() / np.sqrt(len(got)))
    slack = UNEVEN * abs(expected) + 4 * probing.rounding(around) + chance
    if abs(float(got.mean()) - expected) <= slack or not expected:
        return None
    return float(got.mean()) / expected
