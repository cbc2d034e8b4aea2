"""What an audit means, and what to change in the loss, in sentences."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lossbench import data, theory
from lossbench.auditing.kl_term import KlForm
from lossbench.auditing.laws import Law, formula, inverse, worth
from lossbench.auditing.reconstruction import KINDS, kind_named
from lossbench.auditing.result import Audit, Coefficient, Collapse
from lossbench.errors import AuditError
from lossbench.loss import likelihood
from lossbench.words import counted, joined

# t_1 of MNIST's training images, as `lossbench predict --dataset mnist` computes it.
_MNIST: Mapping[tuple[int, str], float] = {
    (784, "bce"): 32.23,
    (784, "mse"): 10.23,
    (196, "bce"): 7.70,
    (196, "mse"): 2.40,
    (49, "bce"): 1.68,
}
TRAINED = tuple(dict.fromkeys(each.trained.name for each in KINDS if each.trained))
_ONE = 1e-3
_WHOLE = (KlForm.CLOSED, KlForm.FLOOR, KlForm.CAP)
MOVING = ("trained", "state", "schedule")  # findings of what is another loss later
_SPOILING = ("further_term", "uneven", "swapped", "detached")
_BLENDS = ("huber", "log_cosh")  # squared for small errors, absolute for large ones
_WITHIN = {KlForm.FLOOR: "Above the floor", KlForm.CAP: "Below the cut"}


def told(audit: Audit, eff: Law | None, moving: str, weighs_batch: bool, n_channels: int) -> Audit:
    """Return the audit with its meaning, its collapse on MNIST and what to change.

    ``moving`` is beta_eff as a formula where it follows the error; ``weighs_batch`` is whether
    the terms are reduced over the batch in two ways, ``n_channels`` 0 for flat images.
    """
    kind = kind_of(audit)
    known = _MNIST.get((audit.d, kind)) if kind else None
    meaning = tuple(_meaning(audit, moving, n_channels))
    audit = replace(audit, meaning=meaning, change=_change(audit, eff, weighs_batch))
    if known is None or audit.kl_form != KlForm.CLOSED:
        return audit
    return replace(audit, collapse=collapse(audit, "MNIST", known, audit.critical(known)))


def is_noisy(found: Coefficient) -> bool:
    """Return whether chance moves a coefficient by more than a thousandth."""
    return found.error > _ONE * abs(found.value)


def kind_of(audit: Audit) -> str:
    """Return the name of the likelihood that thresholds are known for, or an empty string."""
    kind = kind_named(audit.reconstruction)
    return kind.trained.name if kind and kind.trained else ""


def collapse(audit: Audit, dataset: str, threshold: float, critical: int | None) -> Collapse | None:
    """Return what a threshold says of a loss; ``None`` if it has no beta_eff of sense."""
    value = audit.beta_eff.value
    if not value > 0 or not math.isfinite(value) or audit.kl_form != KlForm.CLOSED:
        return None
    return Collapse(dataset, kind_of(audit), threshold, value >= threshold, None, critical)


def predicted(
    audit: Audit, dataset: str | None, threshold: float | None, data_dir: Path | None = None
) -> Audit:
    """Return the audit with what it means on a data set, or at a threshold t_1.

    ``DataError`` if the data cannot be had at d; ``AuditError`` if the loss has no
    reconstruction that thresholds are known for.
    """
    if dataset is None and threshold is None:
        return audit
    critical = audit.critical
    if threshold is not None:
        return replace(audit, collapse=collapse(audit, "your data", threshold, critical(threshold)))
    kind = kind_of(audit)
    if not kind or dataset is None:
        raise AuditError(
            f"thresholds are known for {joined(TRAINED)} alone",
            where="--dataset",
            received=audit.reconstruction or "a reconstruction of no known kind",
            remedy="leave --dataset out, or give the threshold that you measured as --threshold",
        )
    trained = likelihood(kind)
    loaded = data.load(dataset, audit.d, data_dir, trained.scale("auto"))
    data.refuse_misfit(loaded, trained, "auto", "linear")
    thresholds = theory.thresholds(theory.moments(loaded.train), trained)
    t_1 = float(thresholds[0])
    found = collapse(audit, dataset, t_1, critical(t_1))
    if found is not None:
        units = theory.predicted_active_units(thresholds, audit.beta_eff.value, audit.k)
        found = replace(found, predicted_active_units=units)
    return replace(audit, collapse=found)


def _meaning(audit: Audit, moving: str, n_channels: int) -> list[str]:
    value = audit.beta_eff.value
    found = []
    now = "as it is now, " if any(f.code in MOVING for f in audit.findings) else ""
    match = audit.match
    within = _WITHIN.get(KlForm(audit.kl_form), "")
    if not within and any(f.code == "kl_clipped" and f.changes for f in audit.findings):
        within = "Where nothing is clamped"
    if match is not None:
        beta = "" if math.isclose(match.beta, 1, rel_tol=_ONE) else f" with beta {match.beta:g}"
        times = "" if math.isclose(match.scale, 1, rel_tol=_ONE) else f", times {match.scale:g}"
        others = f" (as in {', '.join(match.also[:3])})" if match.also else ""
        subject = f"{within} your loss is" if within else "Your loss is"
        found.append(f"{subject} {match.name}{beta}{times}{others}.")
    if moving:
        found.append(
            f"The weight of the squared errors follows the error itself: beta_eff is {moving} "
            "(against mse), so it falls as the reconstruction gets better, and no constant beta is "
            "equal to it."
        )
    if _is_documented(audit) and value > 0:
        scale = audit.a.value
        by = ""
        if not math.isclose(scale, 1, rel_tol=_ONE):
            factor = 1 / scale if scale < 1 else scale
            number = f"about {factor:.2g}" if is_noisy(audit.a) else f"{factor:.6g}"
            by = f", divided by {number}" if scale < 1 else f", times {number}"
        subject = f"{within[0].lower()}{within[1:]} " if within else ""
        beta = f"about {value:.2g}" if is_noisy(audit.beta_eff) else f"{value:.6g}"
        sizes = f"d = {audit.d} and k = {audit.k}"
        if "channels" in (audit.beta_eff.formula or ""):
            sizes = f"d = {audit.d}, k = {audit.k} and {counted(n_channels, 'channel')}"
        text = f"{now}at {sizes} {subject}it is the documentation's loss with beta {beta}{by}."
        found.append(text[0].upper() + text[1:])
    if audit.reconstruction == "mse_centred" and audit.linear:
        found.append(
            "R is that of data in [-1, 1], four times that of the same data in [0, 1]: there "
            f"beta_eff is {value / 4:.6g}."
        )
    if audit.kl_form in (KlForm.CAPACITY, KlForm.SQUARED_CAPACITY):
        text = (
            f"{now}K is pulled to {audit.kl_bound:.4g} nats from below and from above; b only says "
            "how hard."
        )
        found.append(text[0].upper() + text[1:])
    return found


def _is_documented(audit: Audit) -> bool:
    """Return whether the loss is the documentation's but for a weight and a factor."""
    clean = not any(f.code in _SPOILING for f in audit.findings)
    return bool(kind_of(audit)) and audit.linear and clean and audit.kl_form in _WHOLE


def _change(audit: Audit, eff: Law | None, weighs_batch: bool) -> str:
    """Return what makes the loss the ELBO, or the documentation's loss."""
    value = audit.beta_eff.value
    spoiled = audit.kl_form not in _WHOLE or any(
        f.code in (*_SPOILING, "kl_sign") for f in audit.findings
    )
    if not math.isfinite(value) or value <= 0 or spoiled or audit.reconstruction in _BLENDS:
        return ""
    codes = [f.code for f in audit.findings if f.changes or f.certain]
    if math.isclose(value, 1, rel_tol=_ONE):
        moves = audit.beta_eff.either or (eff is not None and eff.powers)
        at = " at these sizes and weights" if moves else ""
        return f"{'no weight' if codes else 'nothing'}: beta_eff is 1{at}."
    if any(f.code in MOVING for f in audit.findings):
        return ""
    number = f"about {1 / value:.2g}" if is_noisy(audit.beta_eff) else f"{1 / value:.6g}"
    if audit.beta_eff.either:
        first, second = audit.beta_eff.either
        return (
            f"one size cannot tell beta_eff = {first} from {second}. For beta_eff = 1 at these "
            f"sizes multiply the KL by {number}; if the mean is meant to be a sum, sum instead, "
            f"else change the factor."
        )
    factor = number
    if eff is not None and eff.shift is None and not is_noisy(audit.beta_eff):
        symbols: dict[str, float] = {
            "d": audit.d,
            "k": audit.k,
            "B": audit.batch_size,
            "N": audit.n_images,
            **{n: float(v) for n, v in audit.settings.items() if isinstance(v, int | float)},
        }
        named = set(eff.powers) <= set(symbols)
        if not named or math.isclose(worth(eff, symbols), value, rel_tol=_ONE):
            factor = formula(inverse(eff))
    text = f"for beta_eff = 1 multiply the KL by {factor}"
    sums = {
        ("mean", "mean"): (audit.k / audit.d, "sum both terms instead of averaging them"),
        ("mean", "sum"): (1 / audit.d, "sum the reconstruction over the inputs too"),
        ("sum", "mean"): (float(audit.k), "sum the KL over the latents too"),
    }
    times, advice = sums.get((audit.over_inputs or "", audit.over_latents or ""), (0.0, ""))
    if math.isclose(value * times, 1, rel_tol=_ONE):  # else summing leaves another weight
        text += f", or {advice}"
    if weighs_batch:
        text += "; reduce both terms over the batch in the same way"
    return text + "."
