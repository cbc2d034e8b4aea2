"""A paired difference in a metric: its interval, its p-value, and what it means in words."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from lossbench.columns import NATS_NEED, Column
from lossbench.comparison.pairing import Value
from lossbench.comparison.power import detectable, pairs_needed
from lossbench.loss import ELBOS, likelihood
from lossbench.words import counted, joined, nats, probability

_CONFIDENCE = 0.95
_ROUNDING = 1e-12  # relative: a smaller difference is rounding
EQUAL_WITHIN_NATS = 0.3
_SIGNIFICANT = 0.05
Outcome = Literal["better", "worse", "equal", "unclear", "one pair", "not comparable", "unknown"]


@dataclass(frozen=True)
class MetricDifference:
    """One metric of A and of B, and B minus A over ``n`` pairs.

    ``a``, ``b`` and ``difference`` are means over the pairs (for ``collapsed`` shares);
    ``low`` and ``high`` are the ends of the 95% t-interval, ``None`` for one pair and for
    ``collapsed``; ``p`` is two-sided, ``None`` also where the difference is the same on every
    pair; ``p_holm`` is adjusted over the cells of the comparison. The difference is ``None``
    where the metric is not comparable (``comparable``) or not known.
    """

    metric: str
    unit: str
    comparable: bool
    n: int
    a: float | None
    b: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def detectable(self) -> float | None:
        """The difference that these pairs find in 80% of repetitions, two-sided at 5%.

        None where there is no p-value.
        """
        return None if self._spread is None else detectable(self.n) * self._spread

    @property
    def seeds_needed(self) -> int | None:
        """How many pairs find a difference as large as this one in 80% of repetitions.

        None where there is no p-value, no difference, or where they are more than a million.
        """
        if self._spread is None or not self.difference:
            return None
        return pairs_needed(abs(self.difference) / self._spread)

    @property
    def _spread(self) -> float | None:
        """The standard deviation of the pairs' differences; None where there is no p-value."""
        if self.p is None or self.half_width is None:
            return None
        error = self.half_width / float(stdtrit(self.n - 1, 0.5 + _CONFIDENCE / 2))
        return error * sqrt(self.n)

    def facts(self) -> dict[str, object]:
        """Return the difference as JSON has it: with an ELBO's outcome, without its own name."""
        known = asdict(self)
        del known["metric"]
        known |= {"detectable": self.detectable, "seeds_needed": self.seeds_needed}
        return known | ({"outcome": outcome(self)} if self.metric in ELBOS else {})


def paired(
    metric: Column,
    a: Sequence[Sequence[Value]],
    b: Sequence[Sequence[Value]],
    comparable: Sequence[bool],
) -> list[MetricDifference]:
    """Return the difference of a metric in each cell, from its values ``a (n,)`` and ``b (n,)``.

    Cells may differ in n. A pair with a value that is not known, or not finite, is left out.
    The p-values are adjusted over the cells. From three seeds on the paired t-interval covers as
    often as it says, where bootstraps fall to 66-90%.
    """
    values_a, values_b = _table(a), _table(b)
    known = np.isfinite(values_a) & np.isfinite(values_b)
    values_a, values_b = np.where(known, values_a, 0), np.where(known, values_b, 0)
    n = known.sum(axis=1)
    with np.errstate(all="ignore"):
        mean_a, mean_b = values_a.sum(axis=1) / n, values_b.sum(axis=1) / n
        differences = values_b - values_a
        scale = np.maximum(abs(values_a), abs(values_b)).max(axis=1, initial=0)
        mean = differences.sum(axis=1) / n
        mean = np.where(abs(mean) <= _ROUNDING * scale, 0.0, mean)
        squares = np.where(known, differences - mean[:, None], 0) ** 2
        error = np.sqrt(squares.sum(axis=1) / (n - 1) / n)
        constant = error <= _ROUNDING * scale
        half_width = np.where(constant, 0, stdtrit(n - 1, 0.5 + _CONFIDENCE / 2) * error)
        p = np.where(constant, np.nan, 2 * stdtr(n - 1, -abs(mean) / error))
    mean[~np.asarray(comparable)] = np.nan
    columns = [mean_a, mean_b, mean]
    if metric.kind == "bool":
        columns += [np.full_like(mean, np.nan)] * 3
    else:
        columns += [mean - half_width, mean + half_width, np.where(np.isnan(mean), mean, p)]
    *means, p_values = ([x if isfinite(x) else None for x in column.tolist()] for column in columns)
    facts = zip(comparable, n.tolist(), *means, p_values, holm(p_values), strict=True)
    return [MetricDifference(metric.name, metric.unit, *of_cell) for of_cell in facts]


def _table(cells: Sequence[Sequence[Value]]) -> NDArray[np.float64]:
    """Return values as ``(cells, largest n)``, NaN where there is none."""
    n = max(map(len, cells))
    return np.array([[*values, *[None] * (n - len(values))] for values in cells], np.float64)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's step-down adjustment; ``None`` stays and counts as no test.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = largest
    return adjusted


def outcome(elbo: MetricDifference) -> Outcome:
    """Return what B is against A in an ELBO (nats, more is better).

    ``equal``: the whole 95% interval lies within ±0.3 nats, wherever zero is; ``better`` and
    ``worse``: p, adjusted by Holm over the cells, is below 0.05, or the difference is the same
    on every pair; ``unclear``: none of these; ``one pair``: there is no interval.
    """
    if not elbo.comparable:
        return "not comparable"
    if elbo.difference is None:
        return "unknown"
    if elbo.low is None or elbo.high is None:
        return "one pair"
    if max(-elbo.low, elbo.high) <= EQUAL_WITHIN_NATS:
        return "equal"
    if elbo.p_holm is not None and elbo.p_holm >= _SIGNIFICANT:
        return "unclear"
    return "better" if elbo.difference > 0 else "worse"


def verdict(
    cells: Sequence[tuple[str, Mapping[str, MetricDifference]]], compared: Collection[str]
) -> tuple[str, ...]:
    """Return the verdict, a sentence for each ELBO; of several cells, how many are better or worse.

    ``cells`` are reconstruction losses with the cell's metrics; ``compared`` are the settings
    in which A and B differ. A verdict names the sigma that it rests on, if there is one.
    """
    several = len(cells) > 1
    sentences = [_collapsed([metrics["collapsed"] for _, metrics in cells])] if several else []
    apart = [name for name in NATS_NEED if name in compared]
    if apart:
        no_verdict = f"No verdict: ELBOs in nats are not comparable across {joined(apart)}."
        return (*filter(None, sentences), no_verdict)
    for kind in dict.fromkeys(kind for kind, _ in cells):
        for name, rests_on in likelihood(kind).elbos.items():
            elbos = [metrics[name] for own_kind, metrics in cells if own_kind == kind]
            sentences.append(
                _tally(elbos, kind, rests_on) if several else _sentence(elbos[0], rests_on)
            )
    return tuple(filter(None, sentences))


def power_note(elbos: Sequence[MetricDifference]) -> str:
    """Return what the pairs of these cells can find, and how many a difference not found needs.

    Empty where no cell has a p-value.
    """
    known = [elbo for elbo in elbos if elbo.detectable is not None]
    if not known:
        return ""
    (first, *others) = known
    found = sorted(elbo.detectable or 0.0 for elbo in known)
    size = f"{nats(found[0])} to {nats(found[-1])}" if others else nats(found[0])
    pairs = f"The pairs of {len(known)} cells" if others else counted(first.n, "pair")
    note = (
        f"{pairs} with this spread find a difference of {size} nats of ELBO in 80% of repetitions "
        "(5%, two-sided)"
    )
    if others or outcome(first) not in ("unclear", "equal") or not first.difference:
        return f"{note}."
    needed = first.seeds_needed
    seeds = "over a million seeds" if needed is None else counted(needed, "seed")
    return f"{note}; the {nats(abs(first.difference))} observed would need {seeds}."


def _collapsed(shares: Sequence[MetricDifference]) -> str:
    """Return how many runs collapsed; empty if none did."""
    n_a, n_b, n_runs = (
        round(sum((share.a or 0.0) * share.n for share in shares)),
        round(sum((share.b or 0.0) * share.n for share in shares)),
        sum(share.n for share in shares),
    )
    if not (n_a or n_b):
        return ""
    return f"Collapsed: {n_a} of {counted(n_runs, 'run')} of A, {n_b} of {n_runs:,} of B."


def _sentence(elbo: MetricDifference, rests_on: str) -> str:
    """Return the verdict on one ELBO, and on which sigma it rests, if on any."""
    word = outcome(elbo)
    difference = elbo.difference or 0.0
    size, more = nats(abs(difference)), "higher" if difference > 0 else "lower"
    match word:
        case "not comparable" | "unknown":
            return ""
        case "one pair":
            said = (
                f"B is {size} nats of ELBO {more} on the one pair there is: one pair, no "
                "interval, so sweep more seeds (--seeds 5) to tell a difference from chance"
            )
        case "better" | "worse":
            said = f"B is {word} by {size} nats of ELBO ({_interval(elbo, magnitude=True)})"
        case "equal":
            said = (
                f"A and B are shown equal within ±{EQUAL_WITHIN_NATS} nats of ELBO "
                f"(B minus A is {nats(difference)}, {_interval(elbo)})"
            )
        case _:
            widest = max(abs(elbo.low or 0.0), abs(elbo.high or 0.0))
            said = (
                f"no difference in ELBO was found (B minus A is {nats(difference)} nats, "
                f"{_interval(elbo)}), but one of up to {nats(widest)} nats is not ruled out"
            )
    return f"{rests_on}: {said}." if rests_on else f"{said[0].upper()}{said[1:]}."


def _interval(elbo: MetricDifference, *, magnitude: bool = False) -> str:
    low, high = elbo.low or 0.0, elbo.high or 0.0
    if magnitude and (elbo.difference or 0.0) < 0:
        low, high = -high, -low
    if elbo.p is None:
        return f"the same on all {counted(elbo.n, 'seed')}, so no p-value"
    p = f"p = {probability(elbo.p)}".replace("= <", "< ")
    return f"95% interval {nats(low)} to {nats(high)}, {counted(elbo.n, 'seed')}, {p}"


def _tally(elbos: Sequence[MetricDifference], kind: str, rests_on: str) -> str:
    """Return the verdicts of several cells, counted; ``kind`` is their reconstruction loss."""
    counts = Counter(outcome(elbo) for elbo in elbos)
    words: dict[Outcome, str] = {
        "better": "B is better in {}",
        "worse": "B is worse in {}",
        "equal": f"shown equal within {EQUAL_WITHIN_NATS} nats in {{}}",
        "unclear": "no difference found in {}",
        "one pair": "one pair and so no interval in {}",
        "unknown": "not known in {}",
    }
    said = [text.format(counts[word]) for word, text in words.items() if word in counts]
    n_higher = sum((elbo.difference or 0.0) > 0 for elbo in elbos)
    resting = f" ({rests_on[0].lower()}{rests_on[1:]})" if rests_on else ""
    adjusted = "with Holm-adjusted p, " if any(elbo.p is not None for elbo in elbos) else ""
    return (
        f"ELBO, {kind}{resting}: B's mean is higher in {n_higher} of "
        f"{counted(len(elbos), 'cell')}; {adjusted}{', '.join(said)}."
    )
