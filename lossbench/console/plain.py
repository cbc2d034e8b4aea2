"""Explanations as plain facts for JSON: numbers, words and lists; what is not known is null."""

from fractions import Fraction

from lossbench.explanation import Derivation, Equivalent, Listed
from lossbench.loss import Objective, Sizes

Facts = dict[str, object]


def listed(row: Listed) -> Facts:
    """Return one row of the catalogue at its sizes."""
    entry, loss = row.entry, row.entry.convention
    return {
        "loss": entry.name,
        "title": loss.title,
        "lineage": entry.lineage,
        "source": entry.source,
        "citation": entry.citation,
        "date": entry.date,
        "reconstruction": entry.reconstruction,
        "over_inputs": loss.over_inputs,
        "over_latents": loss.over_latents,
        "over_batch": loss.over_batch,
        "reconstruction_factor": loss.reconstruction_factor,
        "kl_factor": loss.kl_factor,
        "default_beta": _float(Fraction(loss.default_beta)),
        "noise_std": entry.noise_std,
        "trainable": entry.trainable,
        "reason": entry.reason or None,
        "flags": list(row.flags),
        "note": entry.note,
        **_sizes(row.sizes),
        "beta": _float(row.beta),
        "formula": row.formula,
        **_coefficients(row.coefficients),
    }


def derivation(told: Derivation) -> Facts:
    """Return a derivation, its steps as text."""
    best = told.optimum
    return {
        **listed(told.listed),
        "reconstruction_loss": best.reconstruction_loss if best else None,
        "beta_norm": _float(best.beta_norm) if best else None,
        "implied_sigma": best.implied_sigma if best else None,
        "meaning": best.meaning if best else None,
        "surprises": list(told.surprises),
        "steps": [{"title": step.title, "formulas": list(step.formulas)} for step in told.steps],
        "answers": [
            {"title": step.title, "formulas": list(step.formulas), "text": step.text}
            for step in told.answers
        ],
    }


def equivalent(told: Equivalent) -> Facts:
    """Return the equal setting and the factors that make the runs the same."""
    sides = (
        ("from", told.loss, told.beta, told.coefficients),
        ("to", told.other, told.other_beta, told.other_coefficients),
    )
    return {
        **_sizes(told.sizes),
        **{
            side: {"loss": loss, "beta": _float(beta), **_coefficients(coefficients)}
            for side, loss, beta, coefficients in sides
        },
        "scale": _float(told.scale),
        "sgd_learning_rate_factor": _float(told.sgd_learning_rate_factor),
        "adam_epsilon_factor": _float(told.adam_epsilon_factor),
        "adam_epsilon": _float(told.adam_epsilon),
        "rmsprop_epsilon_factor": _float(told.rmsprop_epsilon_factor),
        "cautions": list(told.cautions),
    }


def _sizes(sizes: Sizes) -> Facts:
    return {
        "d": sizes.d,
        "k": sizes.k,
        "batch_size": sizes.batch_size,
        "n_images": sizes.n_images,
    }


def _coefficients(found: Objective[Fraction] | None) -> Facts:
    if found is None:
        return {"a": None, "b": None, "beta_eff": None}
    return {"a": _float(found.a), "b": _float(found.b), "beta_eff": _float(found.beta_eff)}


def _float(number: Fraction) -> float:
    return float(number)
