"""Asks a loss and takes its total out of the answer, once for each seed if it is stochastic."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lossbench.auditing.probe import Floats, Probe
from lossbench.auditing.records import Answer, Ask, Failure, Moved, Output, Stopped
from lossbench.auditing.total import Total, find_total
from lossbench.words import counted

# Images and seeds for a stochastic loss, the best first; fewer seeds for one that is slow.
_MOST_SEEDS = 12
_PLANS = tuple((rows, n_seeds) for n_seeds in (_MOST_SEEDS, 8, 6, 4) for rows in (384, 128, 61))
_VALUES = 2**18  # in a batch of images, where it need not be more
# Calls of an audit, each once a seed: 175 to 265 for nine losses of ten, the rest up to 460.
CALLS = 260
_SPARE = 1.5  # of the time that is left, as machines may get busy
_ROUNDING = 40.0  # of a sum of many numbers, in units of the last place
_EPS, _EPS_SINGLE = float(np.finfo(np.float64).eps), float(np.finfo(np.float32).eps)
_MISFIT = 5e-4
UNEVEN = 0.02  # how far a part may count other than once


class Probing:
    """A loss under examination.

    ``value`` is its total on a probe, one number a seed ``(n_seeds,)``. ``form`` says what it
    returns and ``total`` what was taken for the total. ``Stopped`` if it fails, or if the time
    until ``deadline`` (of ``time.monotonic``) is used up.
    """

    def __init__(
        self,
        ask: Ask,
        base: Probe,
        others: Sequence[Mapping[str, float]] = (),
        total: Total | None = None,
        deadline: float = float("inf"),
        said: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ask, self._deadline, self._said = ask, deadline, said
        self._seeds: tuple[int, ...] = (0,)
        self.n_calls = 0
        self.mutated: tuple[str, ...] = ()
        self.moved: tuple[Moved, ...] = ()
        self.single = False
        self._known: dict[tuple[Probe, bool], Floats] = {}
        self.total = total or find_total(self.answer, base, others)
        busy = replace(base, mean=1.0, low=0.3, high=0.9)
        answer = self.answer(busy)
        first = self.total.used(answer.outputs)[:1]
        self.form = _form(answer, first[0], busy) if first else answer.returned
        self.part_shape = first[0].shape if first else ()
        one, again, other = (
            self._asked(replace(busy, seed=seed), finite=True) for seed in (0, 0, 1)
        )
        rounding = self.rounding(np.array([one, other]))
        self.drifts = bool(abs(one - again).max() > rounding)
        self.stochastic = self.drifts or bool(abs(one - other).max() > rounding)

    def plan(self, base: Probe) -> Probe:
        """Return the probe with as many images as the audit asks for; say how long it will take.

        A stochastic loss gets many images and seeds, however busy the machine is: fewer only where
        they are large, or where it would take longer than there is time.
        """
        base, seconds = self._many(base) if self.stochastic else self._timed(base, base.rows)
        expected = seconds * CALLS * len(self._seeds)
        if expected > 3:
            self._said(f"about {expected:.0f} s: a call takes {1000 * seconds:.0f} ms")
        return base

    def _many(self, base: Probe) -> tuple[Probe, float]:
        """Settle the seeds; return the probe with many images, and how long a call takes."""
        most = max(_PLANS[-1][0], _VALUES // max(base.d, base.k))
        fits = [(rows, n_seeds) for rows, n_seeds in _PLANS if rows <= most]
        timed: dict[int, tuple[Probe, float]] = {}
        for rows, n_seeds in fits:
            timed[rows] = timed.get(rows) or self._timed(base, rows)
            self._seeds = tuple(range(n_seeds))
            left = self._deadline - time.monotonic()
            if timed[rows][1] * CALLS * n_seeds * _SPARE <= left:
                break
        self._known.clear()
        return timed[rows]

    def _timed(self, base: Probe, rows: int) -> tuple[Probe, float]:
        """Return the probe with so many images, if it is not refused, and how long a call takes."""
        many = replace(base, rows=rows, batch_size=rows)
        busy = replace(many, mean=1.0, low=0.3, high=0.9)
        took = []
        try:
            for _ in range(3):  # at the first one the tensors are drawn
                started = time.monotonic()
                self.answer(busy)
                took.append(time.monotonic() - started)
        except Stopped as stop:
            if rows == base.rows or stop.failure.stage not in ("call", "shape"):
                raise
            return self._timed(base, base.rows)
        return many, min(took)

    @property
    def hurried(self) -> bool:
        """Whether a stochastic loss was asked with fewer seeds than there are."""
        return self.stochastic and len(self._seeds) < _MOST_SEEDS

    def is_added(self, base: Probe) -> bool:
        """Return whether x_hat and the latents move the total each by itself."""
        latents = {"mean": 1.5, "low": base.low + 0.1, "high": base.low + 0.6}
        still = [base, replace(base, level=0.65), replace(base, x_hat="equal")]
        moved = [replace(probe, **latents) for probe in still]  # type: ignore[arg-type]
        values = self.values([*still, *moved], finite=False)
        added = values[3:] - values[:3]
        size = np.abs(values[np.isfinite(values)] - values[0].mean()).max(initial=0.0)
        for rest in added[1:] - added[0]:
            chance = 6 * float(rest.std()) / np.sqrt(len(rest))
            slack = 1e-4 * size + 4 * self.rounding(values) + chance
            if np.isfinite(rest).all() and abs(float(rest.mean())) > slack:
                return False
        return True

    def answer(self, probe: Probe) -> Answer:
        """Return the whole answer to a probe; ``Stopped`` if it is none."""
        if time.monotonic() > self._deadline:
            raise Stopped(Failure("budget", "", counted(self.n_calls, "call")))
        self.n_calls += 1
        answer = self._ask(probe)
        if answer.failure is not None:
            raise Stopped(answer.failure)
        self.mutated = self.mutated or answer.mutated
        self.moved = self.moved or answer.moved
        return answer

    def value(self, probe: Probe, *, finite: bool = True) -> Floats:
        """Return the total, a number a seed; NaN, or ``Stopped``, where it is not finite."""
        if (probe, finite) not in self._known:
            self._known[probe, finite] = self._asked(probe, finite=finite)
        return self._known[probe, finite]

    def _asked(self, probe: Probe, *, finite: bool) -> Floats:
        found = []
        for seed in self._seeds:
            outputs = self.answer(replace(probe, seed=seed + probe.seed)).outputs
            total, chosen = self.total.value(outputs), self.total.used(outputs)
            self.single = self.single or any(out.single for out in chosen)
            bad = any(out.n_not_finite for out in chosen)
            if bad and finite:
                raise Stopped(Failure("not finite", "", _described(probe)))
            found.append(np.nan if bad else total)
        return np.array(found)

    def values(self, probes: Sequence[Probe], *, finite: bool = True) -> Floats:
        """Return the totals ``(n_probes, n_seeds)``; where not ``finite``, NaN for what fails."""
        found = []
        for probe in probes:
            try:
                found.append(self.value(probe, finite=finite))
            except Stopped as stop:
                if finite or stop.failure.stage not in ("call", "not finite", "shape"):
                    raise
                found.append(np.full(len(self._seeds), np.nan))
        return np.array(found)

    def rounding(self, values: Floats) -> float:
        """Return how far rounding alone may move these values."""
        return float(self.roundings(values[None]).max(initial=0.0))

    def roundings(self, values: Floats) -> Floats:
        """Return how far rounding alone may move each of values ``(n, ...)``, ``(n,)``."""
        eps = _EPS_SINGLE if self.single else _EPS
        sizes = np.abs(values).reshape(len(values), -1)
        largest: Floats = sizes.max(axis=1, initial=0.0, where=np.isfinite(sizes))
        return _ROUNDING * eps * largest

    def chance(self, residual: Floats) -> float:
        """Return three standard errors of residuals ``(n_probes, n_seeds)``, a root mean square."""
        n_seeds = residual.shape[1]
        if n_seeds < 2:
            return 0.0
        return 3 * float(np.sqrt(np.mean(residual.var(axis=1, ddof=1) / n_seeds)))


@dataclass(frozen=True)
class Fit:
    """A least-squares fit: coefficients ``(n_features, n_seeds)``, constant, relative misfit.

    It ``holds`` if the misfit is explained by rounding and chance, on every probe.
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
    return Fit(
        coefficients=solution[:-1] / scale[:, None],
        constant=solution[-1],
        misfit=rest / spread if spread else 0.0,
        holds=rest <= _MISFIT * spread + probing.rounding(values) + probing.chance(residual),
    )


def _form(answer: Answer, first: Output, base: Probe) -> str:
    """Return what the loss returns, in words; ``Stopped`` for a shape that is no loss's."""
    n_values = int(np.prod(first.shape)) if first.shape else 1
    inner = base.d // base.shape[-1] if len(base.shape) == 3 else base.d
    per_row = first.shape[:1] == (base.rows,)
    if n_values == 1:
        form = "a scalar"
    elif per_row and n_values == base.rows:
        form = "one value per sample"
    elif per_row and n_values in (base.rows * base.d, base.rows * inner):
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


def chance_of(rest: Floats) -> Floats:
    """Return how far chance may move the means of ``(..., n_seeds)``: six standard errors.

    They are wider where seeds are few: a deviation of four numbers is itself uncertain.
    """
    n_seeds = rest.shape[-1]
    if n_seeds < 2:
        return np.zeros(rest.shape[:-1])
    few = 6 * (1 + 8 / (n_seeds - 1) ** 1.5)
    return np.asarray(few * rest.std(axis=-1, ddof=1) / np.sqrt(n_seeds))


def share(probing: Probing, got: Floats, around: Floats, expected: float) -> float | None:
    """Return how often a part counts; ``None`` if that is once."""
    slack = UNEVEN * abs(expected) + 4 * probing.rounding(around) + float(chance_of(got))
    if abs(float(got.mean()) - expected) <= slack or not expected:
        return None
    return float(got.mean()) / expected
