"""What is wrong with the terms themselves: missing, counted twice, of wrong parts or sign."""

import math
from collections.abc import Iterator, Mapping

from lossbench.audit.finding import Evidence, Finding
from lossbench.audit.formulas import constant_text
from lossbench.audit.terms import Kl, Reconstruction

_PART_NAMES = {"mean^2": "mean^2", "exp(log_var)": "exp(log_var)", "log_var": "log_var"}


def in_terms(seen: Evidence) -> Iterator[Finding]:
    """Yield what is wrong with the reconstruction and the KL."""
    yield from _reconstruction(seen.reconstruction)
    yield from _kl(seen.kl, seen.survey.asked.b)
    yield from _twice(seen)


def _reconstruction(term: Reconstruction) -> Iterator[Finding]:
    if not term.present:
        yield Finding("reconstruction_missing", "The loss does not depend on the reconstruction.")
    elif term.kind is None and term.uneven:
        yield Finding("uneven", f"Not all counts alike: {term.uneven}.")
    elif term.kind is None:
        mixed = " + ".join(f"{constant_text(w)}*{kind}" for kind, w in term.mixture.items())
        is_mixed = f"; it is {mixed}, as the batch's mean of sums" if mixed else ""
        yield Finding(
            "reconstruction_unknown",
            f"The reconstruction is none of the known kinds{is_mixed}: {term.nearest} is nearest, "
            f"with a misfit of {term.misfit:.2g}. a and beta_eff are those of {term.nearest}.",
        )
    elif term.uneven:
        yield Finding("uneven", f"Not all counts alike: {term.uneven}.")
    if term.kind == "bce_swapped":
        yield Finding(
            "swapped", "The cross-entropy has its arguments swapped: x_hat stands where x belongs."
        )


def _kl(latents: Kl, b: float) -> Iterator[Finding]:
    if latents.uneven:
        yield Finding("uneven", f"Not all counts alike: {latents.uneven}.")
    match latents.form:
        case "absent":
            yield Finding("kl_missing", "There is no KL term: z_mean and z_log_var change nothing.")
        case "floor":
            yield Finding(
                "kl_floor",
                f"The KL has a floor (free bits) of {latents.floor:.4g} nats on "
                f"{latents.floor_over}: below it the KL has no gradient, and b is 0.",
            )
        case "cap":
            yield Finding(
                "kl_clipped",
                f"The KL is cut off above {latents.floor:.4g} nats: beyond, it has no gradient.",
            )
        case "clipped":
            yield Finding(
                "kl_clipped",
                "The KL is clipped: latents far from the prior (a mean of 8 or a log variance of "
                "-8 or 4) no longer move it as they should.",
            )
        case "unknown":
            yield Finding(
                "kl_unknown",
                f"The KL is not the closed form for a Gaussian (misfit {latents.misfit:.2g}): b is "
                "the nearest weight.",
            )
        case "parts":
            yield from _parts(latents.weights or {})
        case _ if b < 0:
            yield Finding("kl_sign", "The KL has the wrong sign: the loss rewards it.")


def _parts(weights: Mapping[str, float]) -> Iterator[Finding]:
    """Yield what is wrong with a KL that is a sum of the wrong parts."""
    rest = {n: w for n, w in weights.items() if n not in _PART_NAMES and w}
    deviation = {"exp(log_var)^2", "exp(log_var/2)"} & rest.keys()
    if deviation:
        yield Finding(
            "std_for_log_var",
            "The standard deviation stands where the log variance was meant: the KL holds "
            + " and ".join(f"{n} ({w / 2:+.3g} times)" for n, w in rest.items())
            + "; with log_var it is -0.5*(1 + log_var - mean^2 - exp(log_var)).",
        )
        return
    values = [weights[n] for n in _PART_NAMES]
    usual = next(
        (v for v in values if sum(math.isclose(v, w, rel_tol=0.01) for w in values) > 1), 0
    )
    usual = usual or max(values, key=abs)
    told = []
    for name in _PART_NAMES:
        share = weights[name] / usual
        if abs(share) < 0.01:
            told.append(f"{name} is missing")
        elif share < 0:
            told.append(f"{name} has the wrong sign")
        elif not math.isclose(share, 1, rel_tol=0.01):
            told.append(f"{name} counts {share:.3g} times")
    told += [f"there is a {n} ({w / 2:+.3g} times)" for n, w in rest.items()]
    if usual < 0:
        yield Finding("kl_sign", "The KL has the wrong sign: the loss rewards it.")
    code = "kl_part_missing" if any("missing" in t for t in told) else "kl_parts"
    yield Finding(code, f"The KL is not whole: {', '.join(told)}.")


def _twice(seen: Evidence) -> Iterator[Finding]:
    """Yield a term that counts twice, where the other one does not."""
    if seen.a is None or seen.b is None or seen.kl.form not in ("closed", "log_std", "floor"):
        return
    a, b = abs(seen.a.constant), abs(seen.b.constant)
    if math.isclose(b, 2, rel_tol=1e-3) and math.isclose(a, 1, rel_tol=1e-3):
        yield Finding(
            "kl_twice",
            "The KL counts twice: it lacks its 1/2 (-0.5*...), or it is added a second time; "
            "leave it if the weight of 2 is meant.",
            certain=False,
        )
    if math.isclose(a, 2, rel_tol=1e-3) and math.isclose(b, 1, rel_tol=1e-3):
        yield Finding(
            "reconstruction_twice",
            "The reconstruction counts twice: is it added a second time?",
            certain=False,
        )
