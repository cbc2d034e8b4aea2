"""What a paired difference in ELBO means, in one word and in one sentence."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from lossbench.columns import NATS_NEED
from lossbench.comparison.interval import MetricDifference
from lossbench.comparison.wording import amount, counted, probability
from lossbench.loss import likelihood

EQUAL_WITHIN_NATS = 0.3
_SIGNIFICANT = 0.05

Outcome = Literal["better", "worse", "equal", "unclear", "one pair", "not comparable", "unknown"]


def outcome(elbo: MetricDifference) -> Outcome:
    """Return what B is against A in an ELBO (nats, more is better).

    ``equal``: the whole 95% interval lies within ±0.3 nats, wherever zero is; ``better`` and
    ``worse``: p, adjusted by Holm over the cells, is below 0.05, or the difference is the same
    on every pair; ``unclear``: neither, so nothing was found; ``one pair``: no interval.
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
    """Return the verdict, one sentence an ELBO; of several cells, how many say what.

    ``cells`` are reconstruction losses with the cell's metrics; ``compared`` are the settings
    in which A and B differ. A verdict names the sigma that it rests on, if there is one.
    """
    several = len(cells) > 1
    sentences = [_collapsed([metrics["collapsed"] for _, metrics in cells])] if several else []
    apart = [name for name in NATS_NEED if name in compared]
    if apart:
        no_verdict = f"No verdict: ELBOs in nats are not comparable across {' and '.join(apart)}."
        return (*filter(None, sentences), no_verdict)
    for kind in dict.fromkeys(kind for kind, _ in cells):
        for name, rests_on in likelihood(kind).elbos.items():
            elbos = [metrics[name] for own_kind, metrics in cells if own_kind == kind]
            sentences.append(
                _tally(elbos, kind, rests_on) if several else _sentence(elbos[0], rests_on)
            )
    return tuple(filter(None, sentences))


def _collapsed(shares: Sequence[MetricDifference]) -> str:
    """Return how many runs collapsed; empty if none did."""
    n_a, n_b, n_runs = (
        round(sum((share.a or 0.0) * share.n for share in shares)),
        round(sum((share.b or 0.0) * share.n for share in shares)),
        sum(share.n for share in shares),
    )
    return f"Collapsed: {n_a} of {n_runs} runs of A, {n_b} of {n_runs} of B." if n_a or n_b else ""


def _sentence(elbo: MetricDifference, rests_on: str) -> str:
    """Return the verdict on one ELBO, and on which sigma it rests, if on any."""
    found = outcome(elbo)
    difference = elbo.difference or 0.0
    size, more = amount(abs(difference)), "higher" if difference > 0 else "lower"
    match found:
        case "not comparable" | "unknown":
            return ""
        case "one pair":
            said = (
                f"B is {size} nats of ELBO {more} on the one pair there is: one pair, no "
                "interval, so sweep more seeds (--seeds 5) to tell a difference from chance"
            )
        case "better" | "worse":
            said = f"B is {found} by {size} nats of ELBO ({_interval(elbo, magnitude=True)})"
        case "equal":
            said = (
                f"A and B are shown equal within ±{EQUAL_WITHIN_NATS} nats of ELBO "
                f"(B minus A is {amount(difference)}, {_interval(elbo)})"
            )
        case _:
            widest = max(abs(elbo.low or 0.0), abs(elbo.high or 0.0))
            said = (
                f"no difference in ELBO was found (B minus A is {amount(difference)} nats, "
                f"{_interval(elbo)}), but one of up to {amount(widest)} nats is not ruled out"
            )
    return f"{rests_on}: {said}." if rests_on else f"{said[0].upper()}{said[1:]}."


def _interval(elbo: MetricDifference, *, magnitude: bool = False) -> str:
    low, high = elbo.low or 0.0, elbo.high or 0.0
    if magnitude and (elbo.difference or 0.0) < 0:
        low, high = -high, -low
    if elbo.p is None:
        return f"the same on all {counted(elbo.n, 'seed')}, so no p-value"
    return (
        f"95% interval {amount(low)} to {amount(high)}, {counted(elbo.n, 'seed')}, "
        f"p {probability(elbo.p)}"
    )


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
