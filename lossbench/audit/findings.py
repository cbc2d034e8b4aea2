"""What is wrong with a loss, a sentence each, from what was measured."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lossbench.audit.answer import Stopped
from lossbench.audit.finding import Evidence, Finding
from lossbench.audit.terms import quiet
from lossbench.audit.wrong_sizes import in_sizes
from lossbench.audit.wrong_terms import in_terms


def findings(seen: Evidence) -> tuple[Finding, ...]:
    """Return every finding, the gravest first."""
    found = [
        *in_terms(seen),
        *in_sizes(seen),
        *_finite(seen),
        *_form(seen),
    ]
    return tuple(sorted(found, key=lambda finding: not finding.certain))


def _finite(seen: Evidence) -> Iterator[Finding]:
    """Yield what makes the loss infinite or NaN though it is ordinary input."""
    kind, base = seen.reconstruction.kind, seen.base
    still = quiet(base, seen.reconstruction.kind)
    asked = [
        ("z_log_var of -20", replace(still, low=-20, high=-20)),
        ("z_log_var of 5", replace(still, low=5, high=5)),
        ("a z_mean of 20", replace(still, mean=20)),
    ]
    if kind == "bce_logits":
        asked += [("logits of 100", replace(base, x="binary", x_hat="far"))]
    elif kind != "bce_swapped":
        asked += [
            ("x of 0 and 1", replace(base, x="binary")),
            (
                "x_hat of 0 and 1, which a sigmoid reaches in float32,",
                replace(base, x="binary", x_hat="saturated"),
            ),
            (
                "x_hat of 1 where x is 0, and the reverse,",
                replace(base, x="binary", x_hat="opposite"),
            ),
        ]
    told = []
    for what, probe in asked:
        try:
            if not np.isfinite(seen.probing.value(probe, finite=False)).all():
                told.append(what)
        except Stopped:
            told.append(what)
    if told:
        yield Finding(
            "not_finite",
            f"The loss is not finite at {told[0]} {'among others; ' if told[1:] else ''}"
            "clip the argument of a logarithm, or compute bce from logits.",
        )


def _form(seen: Evidence) -> Iterator[Finding]:
    for name in seen.probing.mutated:
        yield Finding("mutates", f"The loss changes its argument {name} in place.")
    named = next((n for n, role in seen.found.arguments.items() if role == "z_log_var"), "")
    says_std = any(word in name for name in [named.lower()] for word in ("sigma", "std"))
    squared = any(word in named.lower() for word in ("2", "sq", "var"))
    if seen.kl.form == "log_std" and not says_std:
        yield Finding(
            "std_for_log_var",
            f"{named or 'The log variance'} is taken for the log of the standard deviation.",
        )
    if seen.kl.form == "closed" and says_std and not squared:
        yield Finding(
            "log_var_named_sigma",
            f"{named} is taken for the log variance: the sampler has to take exp({named}/2).",
            certain=False,
        )
