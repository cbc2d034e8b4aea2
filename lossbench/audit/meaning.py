"""What an audit means, and what to change in the loss, in sentences."""

import math
from collections.abc import Mapping
from dataclasses import replace

from lossbench.audit.formulas import formula, inverse
from lossbench.audit.laws import Law, worth
from lossbench.audit.result import Audit, Collapse

# t_1 of MNIST's training images, as `lossbench predict --dataset mnist` computes it.
_MNIST: Mapping[tuple[int, str], float] = {
    (784, "bce"): 32.23,
    (784, "mse"): 10.23,
    (196, "bce"): 7.70,
    (196, "mse"): 2.40,
    (49, "bce"): 1.68,
}
_ONE = 1e-3


def told(audit: Audit, a: Law | None, b: Law | None, eff: Law | None) -> Audit:
    """Return the audit with its meaning, its collapse on MNIST and what to change."""
    kind = kind_of(audit)
    known = _MNIST.get((audit.d, kind)) if kind else None
    audit = replace(audit, meaning=tuple(_meaning(audit)), change=_change(audit, a, b, eff))
    if known is None:
        return audit
    return replace(audit, collapse=collapse(audit, "MNIST", known, audit.critical(known)))


def kind_of(audit: Audit) -> str:
    """Return the kind that thresholds are known for, ``bce`` or ``mse``, or an empty string."""
    return {"bce": "bce", "bce_logits": "bce", "mse": "mse"}.get(audit.reconstruction or "", "")


def collapse(audit: Audit, dataset: str, threshold: float, critical: int | None) -> Collapse | None:
    """Return what a threshold says of a loss; ``None`` if it has no beta_eff of sense."""
    value = audit.beta_eff.value
    if not value > 0 or not math.isfinite(value):
        return None
    return Collapse(dataset, kind_of(audit), threshold, value >= threshold, None, critical)


def _meaning(audit: Audit) -> list[str]:
    value = audit.beta_eff.value
    found = []
    match = audit.match
    if match is not None:
        beta = "" if math.isclose(match.beta, 1, rel_tol=_ONE) else f" with beta {match.beta:g}"
        times = "" if math.isclose(match.scale, 1, rel_tol=_ONE) else f", times {match.scale:g}"
        is_like = "Your loss is" if match.same else "At these sizes your loss is"
        others = f" (as in {', '.join(match.also[:3])})" if match.also and match.same else ""
        found.append(f"{is_like} {match.name}{beta}{times}{others}.")
    if value > 0 and math.isfinite(value):
        scale = audit.a.value
        by = ""
        if not math.isclose(scale, 1, rel_tol=_ONE):
            by = f", divided by {1 / scale:.6g}" if scale < 1 else f", times {scale:.6g}"
        found.append(
            f"At d = {audit.d} and k = {audit.k} it is the documentation's loss with beta "
            f"{value:.6g}{by}."
        )
    return found


def _change(audit: Audit, a: Law | None, b: Law | None, eff: Law | None) -> str:
    """Return what makes the loss the ELBO, or the documentation's loss."""
    value = audit.beta_eff.value
    if not math.isfinite(value) or value <= 0:
        return ""
    if math.isclose(value, 1, rel_tol=_ONE):
        return "nothing: beta_eff is 1."
    factor = f"{1 / value:.6g}"
    if eff is not None and math.isclose(
        worth(
            eff,
            {
                "d": audit.d,
                "k": audit.k,
                "B": audit.batch_size,
                "N": audit.n_images,
                **{n: v for n, v in audit.settings.items() if isinstance(v, int | float)},
            },
        )
        if set(eff.powers) <= {"d", "k", "B", "N", *audit.settings} and eff.shift is None
        else value,
        value,
        rel_tol=_ONE,
    ):
        factor = formula(inverse(eff))
    text = f"for beta_eff = 1 multiply the KL by {factor}"
    if audit.over_inputs == audit.over_latents == "mean":
        text += ", or sum both terms instead of averaging them"
    elif audit.over_inputs == "mean" and audit.over_latents == "sum":
        text += ", or sum the reconstruction over the inputs too"
    elif audit.over_inputs == "sum" and audit.over_latents == "mean":
        text += ", or sum the KL over the latents too"
    if a is not None and b is not None and a.constant and b.constant:
        batch = {law.powers.get("B", 0) for law in (a, b)}
        if len(batch) > 1:
            text += "; reduce both terms over the batch in the same way"
    return text + "."
