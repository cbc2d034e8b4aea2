"""What is wrong with how a loss depends on its sizes, its batch and its weights."""

import math
from collections.abc import Iterator

from lossbench.audit.finding import Evidence, Finding

# Image sizes that people write into code: MNIST, CIFAR and usual crops, grey or in colour.
_USUAL_D = frozenset(n * n * c for n in (28, 32, 48, 64, 96, 128, 224, 256) for c in (1, 3))


def in_sizes(seen: Evidence) -> Iterator[Finding]:
    """Yield hard-coded sizes, a dependence on the batch, and weights without effect."""
    yield from _sizes(seen)
    yield from _batch(seen)
    yield from _weights(seen)


def _sizes(seen: Evidence) -> Iterator[Finding]:
    d, k = seen.base.d, seen.base.k
    for name, value in (("d", d), ("k", k)):
        said = seen.survey.fixed.get(name)
        if said:
            yield Finding(
                "hard_coded",
                f"The loss works at {name} = {value} alone, so a size is hard-coded: "
                f"elsewhere it says {said!r}.",
            )
    sizes = _USUAL_D | ({d} if d > 8 else set())
    for name, law in (("reconstruction", seen.a), ("KL", seen.b)):
        if law is None or not law.constant:
            continue
        for number in sorted(sizes):
            for power in (1, -1):
                if math.isclose(abs(law.constant), float(number) ** power, rel_tol=2e-4):
                    other = "" if number == d else f", but d is {d}"
                    yield Finding(
                        "hard_coded",
                        f"{number} is hard-coded into the {name}{other}: take the size from the "
                        "tensors.",
                    )
    if k > 8 and seen.b and math.isclose(abs(seen.b.constant), 1 / k, rel_tol=2e-4):
        yield Finding(
            "hard_coded", f"The KL is divided by {k}, which is k: is it hard-coded?", certain=False
        )


def _batch(seen: Evidence) -> Iterator[Finding]:
    a, b = seen.a, seen.b
    if seen.survey.partial is not None:
        full, part = seen.survey.reference, seen.survey.partial
        if full.beta_eff and abs(part.beta_eff / full.beta_eff - 1) > 0.01:
            rows = f"{part.symbols['B']:g} of {full.symbols['B']:g}"
            yield Finding(
                "partial_batch",
                f"A partial last batch trains another objective: with {rows} images beta_eff is "
                f"{part.beta_eff / full.beta_eff:.3g} times that of a full batch.",
            )
    if a is None or b is None or not (a.constant and b.constant):
        return
    more = b.powers.get("B", 0) - a.powers.get("B", 0)
    if not more and (a.shift or b.shift) and a.shift != b.shift:
        more = float("B" in {s[0] for s in (a.shift, b.shift) if s})
    if not more:
        return
    way = "in proportion to" if more == 1 else "against" if more == -1 else "with"
    yield Finding(
        "batch_dependence",
        f"beta_eff goes {way} the batch size: another batch size, or a partial last batch, "
        "trains another objective.",
    )
    if more == 1 and b.powers.get("k") == -1 and not a.powers.get("B"):
        yield Finding(
            "wrong_axis",
            "The KL is summed over the wrong axis: over the batch, and averaged over the latents.",
        )
    if more == -1 and a.powers.get("d") == -1 and not b.powers.get("B"):
        yield Finding(
            "wrong_axis",
            "The reconstruction is summed over the wrong axis: over the batch, and averaged over "
            "the inputs.",
        )


def _weights(seen: Evidence) -> Iterator[Finding]:
    for name in seen.survey.idle:
        set_to = f" (set to {seen.settings[name]})" if name in seen.settings else ""
        yield Finding("idle_weight", f"The argument {name}{set_to} has no effect on the loss.")
