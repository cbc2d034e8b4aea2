"""What is wrong with a loss, a sentence each, from what was measured."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from lossbench.auditing.kl_term import Clamp, Kl, KlForm
from lossbench.auditing.laws import Law, constant_text, weight_power
from lossbench.auditing.probe import Probe, Way
from lossbench.auditing.probing import Probing, chance_of
from lossbench.auditing.reconstruction import IMAGE_ENDS, Reconstruction
from lossbench.auditing.records import Found, Stopped
from lossbench.auditing.result import Finding
from lossbench.auditing.scaling import ENDS, Survey, means_of, name_of, reweighted
from lossbench.auditing.signature import is_of_schedule, says_when
from lossbench.words import joined

# Image sizes that people write into code: MNIST, CIFAR and usual crops, grey or in colour.
_USUAL_D = frozenset(n * n * c for n in (28, 32, 48, 64, 96, 128, 224, 256) for c in (1, 3))
# A clamp inside these bounds of a log variance, or a mean, meets latents that training visits.
_VISITED = {"u": (-6.0, 2.0), "z_mean": (-5.0, 5.0)}
_WAYS: tuple[Way, ...] = ("mean", "u")
_SAME_MODE = 5e-3
_NEAREST = 0.2  # of the spread: what is further off is not like it


@dataclass(frozen=True)
class Evidence:
    """Everything that findings are read from; laws are ``None`` where no formula was found."""

    probing: Probing
    base: Probe
    found: Found
    reconstruction: Reconstruction
    kl: Kl
    survey: Survey
    a: Law | None
    b: Law | None
    settings: Mapping[str, object]
    maximised: bool
    coupled: bool

    @property
    def spread_name(self) -> str:
        """The name of the argument that holds the spread of the latents."""
        return self.name_of(self.found.spread)

    def name_of(self, role: str) -> str:
        """Return the name of the argument of a role, an empty string where there is none."""
        return {role: name for name, role in self.found.arguments.items()}.get(role, "")


def findings(seen: Evidence) -> tuple[Finding, ...]:
    """Return every finding, the gravest first."""
    detached = tuple(_detached(seen))
    missing = ("reconstruction_missing", "kl_missing") if detached else ()
    found = [
        *(each for each in (*_reconstruction(seen), *_kl(seen)) if each.code not in missing),
        *detached,
        *_twice(seen),
        *_state(seen),
        *_sizes(seen),
        *_batch(seen),
        *_weights(seen),
        *_reshaped(seen),
        *_finite(seen),
        *_form(seen),
    ]
    return tuple(sorted(found, key=lambda finding: not finding.certain))


def _reconstruction(seen: Evidence) -> Iterator[Finding]:
    term = seen.reconstruction
    if seen.coupled:
        return
    if not term.present:
        yield Finding("reconstruction_missing", "The loss does not depend on the reconstruction.")
    elif term.uneven:
        yield Finding("uneven", f"Not all counts alike: {term.uneven}.")
    elif term.kind is None and term.mixture:
        mixed = " + ".join(f"{constant_text(w)}*{kind}" for kind, w in term.mixture.items())
        yield Finding(
            "reconstruction_unknown",
            f"The reconstruction is several terms: {mixed}, each summed over the inputs.",
        )
    elif term.kind is None:
        inside = ""
        if seen.found.model:
            inside = ", or the loss takes it where it was not exchanged in the model"
        nearest = ""
        if term.misfit < _NEAREST:
            nearest = f" The nearest is {term.nearest.words}: {100 * term.misfit:.2g}% off."
        yield Finding(
            "reconstruction_unknown",
            f"The reconstruction is none of the known kinds{inside}, so a and beta_eff cannot be "
            f"told.{nearest}",
        )
    if term.present and seen.survey.asked.a < 0 and not seen.maximised and _is_rewarded(seen):
        yield Finding(
            "reconstruction_sign",
            "The reconstruction has the wrong sign: the loss rewards its errors.",
        )
    if term.kind is not None and term.kind.name == "bce_swapped":
        yield Finding(
            "swapped", "The cross-entropy has its arguments swapped: x_hat stands where x belongs."
        )
    if term.kind is not None and term.kind.whole is not None and not term.kind.likelihood:
        yield Finding(
            "no_likelihood",
            f"The reconstruction is the {term.kind.words}: no log-likelihood, so the sum of both "
            "terms is no ELBO at any weight.",
        )
    if term.through:
        yield Finding(
            "through",
            "The squared error is that of x against something that the loss makes of x_hat; a was "
            "measured by moving x. What depends on x_hat alone cannot be told.",
            certain=False,
        )
    if term.inside and term.kind is not None:
        yield Finding(
            "inside",
            f"The reconstruction is {term.kind.words}, for x_hat between 0 and 1, to a "
            "two-thousandth; far beyond, it is not: x_hat is bounded there, or a small further "
            "term is added, or it grows in another way.",
            certain=False,
        )


def _is_rewarded(seen: Evidence) -> bool:
    """Return whether errors of x_hat lower the loss; of a kind that is known its weight says so."""
    if seen.reconstruction.kind is not None:
        return True
    probes = [replace(seen.base, x_hat="off", level=level) for level in (0.01, 0.1, 0.15)]
    values = seen.probing.values(probes, finite=False).mean(axis=1)
    return bool((np.diff(values) < -1e-2 * np.abs(values[0])).all())


def _kl(seen: Evidence) -> Iterator[Finding]:
    kl, b = seen.kl, seen.survey.asked.b
    if seen.coupled and not kl.coarse:
        yield Finding(
            "coupled",
            "The two terms are not added: what the latents add depends on the reconstruction, as "
            "with a weight that is computed from both. There is no constant a and b.",
        )
        return
    if kl.uneven:
        yield Finding("uneven", f"Not all counts alike: {kl.uneven}.")
    if kl.further and kl.form is not KlForm.UNKNOWN:
        yield Finding(
            "further_term",
            f"Besides R and K there is {kl.further}. b is the weight of the KL of each image.",
        )
    by = _bound_name(seen)
    about = "about " if seen.probing.stochastic else ""
    on = f"{about}{kl.bound:.4g} nats{by} on {kl.over}"
    match kl.form:
        case KlForm.ABSENT:
            at = _switched(seen)
            yield Finding(
                "kl_missing", f"There is no KL term{at}: z_mean and z_log_var change nothing."
            )
        case KlForm.FLOOR:
            yield Finding(
                "kl_floor",
                f"The KL has a floor (free bits) of {on}: below it the KL has no gradient, and b "
                "is 0.",
            )
        case KlForm.CAP:
            yield Finding(
                "kl_clipped", f"The KL is cut off above {on}: beyond, it has no gradient."
            )
        case KlForm.CAPACITY:
            yield Finding(
                "capacity",
                f"The KL has a capacity of {on}: the loss holds |K - C| with the weight b (gamma), "
                "so below C it rewards the KL, and no constant weight is equal to it.",
            )
        case KlForm.SQUARED_CAPACITY:
            yield Finding(
                "capacity",
                f"The KL has a capacity of {on}: the loss holds (K - C)^2 with the weight b, so no "
                "constant weight is equal to it.",
            )
        case KlForm.UNKNOWN:
            yield _unknown(kl, seen.probing)
        case KlForm.PARTS:
            yield from _parts(seen)
        case _ if b < 0:
            yield Finding("kl_sign", "The KL has the wrong sign: the loss rewards it.")
    for clamp in kl.clamps:
        yield _clamped(clamp, seen.spread_name or kl.frame.words)
    yield from _frame(seen)


def _switched(seen: Evidence) -> str:
    """Return the number at whose other values the latents matter, as in `` at beta = 0``."""
    for name, value in seen.base.settings:
        if isinstance(value, int | float) and not isinstance(value, bool):
            for probe in reweighted(seen.base, name, value):
                pair = [replace(probe, mean=mean, latent_draw=3) for mean in (0.0, 2.0)]
                values = seen.probing.values(pair, finite=False).mean(axis=1)
                if abs(values[1] - values[0]) > 4 * seen.probing.rounding(values):
                    return f" at {name} = {value:g}, and there is one at others"
    return ""


def _unknown(kl: Kl, probing: Probing) -> Finding:
    """Return why b cannot be told."""
    if kl.coarse:
        text = (
            "What the latents add is computed in half precision, too coarse to tell its form, b "
            "and beta_eff: audit it in float32."
        )
    else:
        what = f"; there is {kl.further}" if kl.further else ""
        more = " (a longer --time-limit asks more seeds)" if probing.hurried else ""
        chance = f", or chance hides which{more}" if probing.stochastic else ""
        text = (
            "What the latents add to the loss is no KL of a Gaussian to N(0, I) in any form that "
            f"is known{chance}, so b and beta_eff cannot be told{what}."
        )
    return Finding("kl_unknown", text)


def _bound_name(seen: Evidence) -> str:
    """Return the argument that sets a floor or capacity, in brackets, or an empty string."""
    slack = 0.1 if seen.probing.stochastic else 1e-3
    for name, points in seen.survey.weights.items():
        value = seen.survey.reference.symbols.get(name, math.nan)
        still = all(weight_power(seen.survey, name, part) == 0 for part in ("a", "b"))
        if points and still and math.isclose(value, seen.kl.bound, rel_tol=slack):
            return f" ({name})"
    return ""


def clamp_text(clamp: Clamp, name: str) -> str:
    """Return what is clamped where, as in ``logvar to at least -10``."""
    what = (name or "the log variance") if clamp.on == "u" else "z_mean"
    sides = []
    if math.isfinite(clamp.low):
        sides.append(f"at least {clamp.low:.4g}")
    if math.isfinite(clamp.high):
        sides.append(f"at most {clamp.high:.4g}")
    return f"{what} to {' and '.join(sides)}"


def _clamped(clamp: Clamp, name: str) -> Finding:
    what = name if clamp.on == "u" else "z_mean"
    if clamp.soft:
        return Finding(
            "kl_clipped",
            f"The KL is the closed form for {what} between {clamp.low:g} and {clamp.high:g} alone; "
            "beyond, it is damped or bounded.",
            certain=False,
            changes=False,
        )
    low, high = _VISITED[clamp.on]
    meets = clamp.low > low or clamp.high < high
    return Finding(
        "kl_clipped",
        f"The KL clamps {clamp_text(clamp, name)}: beyond, it has no gradient in {what}.",
        certain=meets,
        changes=meets,
    )


def _frame(seen: Evidence) -> Iterator[Finding]:
    """Yield whether the argument is used as something else than its name says."""
    kl, name = seen.kl, seen.spread_name
    if kl.form in (KlForm.ABSENT, KlForm.UNKNOWN) or not name:
        return
    says, frame = frames_of(name, seen.found.spread)[0], kl.frame.name
    if frame == says:
        return
    if frame == "log_var" and says == "log_std":
        yield Finding(
            "log_var_named_sigma",
            f"{name} is taken for the log variance: the sampler has to take exp({name}/2).",
            certain=False,
            changes=False,
        )
    elif frame in ("softplus_std", "softplus_var"):
        yield Finding(
            "softplus",
            f"{name} goes through softplus: it is {kl.frame.words}, and so the sampler has to take "
            "it.",
            certain=False,
            changes=False,
        )
    else:
        yield Finding(
            "std_for_log_var",
            f"{name} is taken for {kl.frame.words}, and so the sampler has to take it.",
        )


def frames_of(name: str, spread: str) -> tuple[str, ...]:
    """Return the names of the frames that an argument's name speaks for, likeliest first.

    >>> frames_of("z_log_std", "z_log_var"), frames_of("sigma", "z_std")
    (('log_std', 'log_var'), ('std', 'log_var', 'log_std'))
    """
    if spread != "z_log_var":
        return (spread.removeprefix("z_"), "log_var", "log_std")
    says_std = any(word in name.lower() for word in ("sigma", "std", "stdev", "scale"))
    squared = any(word in name.lower() for word in ("2", "sq", "var"))
    return ("log_std", "log_var") if says_std and not squared else ("log_var", "log_std")


def _parts(seen: Evidence) -> Iterator[Finding]:
    """Yield what is wrong with a KL that is a sum of the wrong parts."""
    kl, b, name = seen.kl, seen.survey.asked.b, seen.spread_name or "log_var"
    frame = kl.frame.name
    logs = {"log_var": f"exp({name})", "log_std": f"exp(2*{name})"}
    names = ("mean^2", logs.get(frame, "the variance"), "ln of the variance")
    if frame == "log_var":
        names = ("mean^2", f"exp({name})", name)
    if kl.power != 1:
        if kl.power == 0.5:
            lacking = f"exp({name})" if frame == "log_std" else "the standard deviation"
            text = f"{lacking} lacks its square: it stands where the variance belongs"
        else:
            text = "the variance is squared once too often"
        yield Finding(
            "std_for_log_var",
            f"The KL is not whole: {text}. With the log variance it is -0.5*(1 + log_var - mean^2 "
            "- exp(log_var)).",
        )
    told = []
    for part, weight in zip(names, kl.weights, strict=True):
        if abs(weight) < 0.01:
            told.append(f"{part} is missing")
        elif weight < 0:
            times = (
                "" if math.isclose(weight, -1, rel_tol=0.01) else f" and counts {-weight:.3g} times"
            )
            told.append(f"{part} has the wrong sign{times}")
        elif not math.isclose(weight, 1, rel_tol=0.01):
            told.append(f"{part} counts {weight:.3g} times")
    if b < 0:
        yield Finding("kl_sign", "The KL has the wrong sign: the loss rewards it.")
    if told:
        code = "kl_part_missing" if any("missing" in t for t in told) else "kl_parts"
        m, s, l = kl.weights  # noqa: E741 - as in the formula
        prior = ""
        if m == s == 1 and l > 0:
            prior = f" It is also {b * l:.4g} times the KL to a prior of variance {l:.3g}."
        yield Finding(
            code, f"The KL is not whole: {', '.join(told)}; b is the weight of the rest.{prior}"
        )


def _twice(seen: Evidence) -> Iterator[Finding]:
    """Yield a term that counts twice, where the other one does not."""
    if seen.a is None or seen.b is None or seen.kl.form not in (KlForm.CLOSED, KlForm.FLOOR):
        return
    if seen.reconstruction.kind is None or seen.reconstruction.kind.moving:
        return
    a, b = abs(seen.a.constant), abs(seen.b.constant)
    if math.isclose(b, 2, rel_tol=1e-3) and math.isclose(a, 1, rel_tol=1e-3):
        yield Finding(
            "kl_twice",
            "The KL counts twice: it lacks its 1/2 (-0.5*...), or it is added a second time; "
            "leave it if the weight of 2 is meant.",
            certain=False,
            changes=False,
        )
    if math.isclose(a, 2, rel_tol=1e-3) and math.isclose(b, 1, rel_tol=1e-3):
        yield Finding(
            "reconstruction_twice",
            "The reconstruction counts twice: is it added a second time, or is a variance of 1/4 "
            "meant?",
            certain=False,
            changes=False,
        )


def _state(seen: Evidence) -> Iterator[Finding]:
    """Yield what moves by itself: state, the mode, numbers that are trained."""
    for moved in seen.probing.moved:
        yield Finding(
            "state",
            f"{moved.name} changes with each call ({moved.before} -> {moved.after}), and with it "
            f"the loss may. It was put back before every call: this is the loss at {moved.name} = "
            f"{moved.before}.",
        )
    if seen.probing.drifts:
        yield Finding(
            "state",
            "The same tensors and the same seed give another number at every call, and what "
            "changes was not found: the numbers are means over such calls.",
        )
    here, there = seen.survey.reference, seen.survey.evaluating
    for part, name in (("a", "R"), ("b", "K")):
        if not _has_weight(seen, part):
            continue
        one, other = getattr(here, part), getattr(there, part)
        noise = 5 * (getattr(here, f"{part}_error") + getattr(there, f"{part}_error"))
        if abs(one - other) > _SAME_MODE * max(abs(one), abs(other)) + noise:
            yield Finding(
                "mode",
                f"In evaluation mode {part}, the weight of {name}, is {other:.4g}; in training, "
                f"which is shown here, {one:.4g}.",
            )
            break
    else:
        if seen.survey.unlike:
            known = all(_has_weight(seen, part) for part in ("a", "b"))
            what = "a floor, a clamp or a constant" if known else "a weight, a floor or a constant"
            yield Finding(
                "mode",
                f"In evaluation mode the loss gives other numbers: {what} differs. This is the one "
                "of training.",
            )
    for name in (name for name, role in seen.found.arguments.items() if role == "x_log_var"):
        yield Finding(
            "trained",
            f"{name} is what the decoder says of its own spread: a and beta_eff move with it while "
            f"it is trained. This is the loss at {name} = 0.",
        )
    for name, value in seen.found.trained.items():
        if name in seen.survey.weights and name not in seen.survey.idle:
            moved_parts = [p for p in ("a", "b") if _moves(seen, name, p)]
            if moved_parts:
                yield Finding(
                    "trained",
                    f"{name} is a number that the loss trains: {' and '.join(moved_parts)} and "
                    f"beta_eff move with it. This is the loss at {name} = {value:.4g}.",
                )


def _moves(seen: Evidence, name: str, part: str) -> bool:
    here = getattr(seen.survey.reference, part)
    return any(
        not math.isclose(getattr(point, part), here, rel_tol=1e-3)
        for point in seen.survey.weights[name]
    )


def _detached(seen: Evidence) -> Iterator[Finding]:
    """Yield whether the gradient of a loss is not that of its values."""
    kl, probing = seen.kl, seen.probing
    noisy = kl.coarse or (probing.stochastic and kl.form is KlForm.UNKNOWN)
    if seen.found.framework == "numpy" or probing.drifts or probing.hurried or noisy:
        return
    rest, mean = seen.kl.at_rest(), means_of(seen.kl)[1]
    near = replace(seen.base, x_hat="off", level=0.1, mean=0.1, low=rest, high=rest)
    far = replace(near, mean=mean, low=rest + 0.4, high=rest + 0.8)
    try:
        of_r = _counts(seen.probing, replace(far, along="level"), "R")
        of_mean, of_spread = (
            _counts(seen.probing, replace(far, along=along), "K") for along in _WAYS
        )
        if of_mean == of_spread:
            told = [
                of_r,
                of_mean or _counts(seen.probing, replace(near, along="mean"), "a small K"),
            ]
        else:
            names = (seen.name_of("z_mean") or "z_mean", seen.spread_name or seen.found.spread)
            parts = zip((of_mean, of_spread), names, strict=True)
            told = [of_r, *(f"{of_part} in {name}" for of_part, name in parts if of_part)]
    except Stopped as stop:
        if stop.failure.stage not in ENDS:
            raise
        return
    if any(told):
        yield Finding(
            "detached",
            "A part of the loss is detached, or has a gradient of its own. Its values are told "
            f"here, but its gradient is what trains, and there {joined(filter(None, told))}.",
        )


def _counts(probing: Probing, probe: Probe, name: str) -> str:
    """Return how a part counts by its gradient, where it does not as by its values."""
    size = getattr(probe, probe.along, 1.0)
    steps = (0.02 * size, -0.02 * size)
    there = [probe.further(step) for step in steps]
    foretold = [replace(probe, step=step) for step in steps]
    values = probing.values([*there, *foretold])
    of_values, of_gradients = values[0] - values[1], values[2] - values[3]
    by_value, by_gradient = float(of_values.mean()), float(of_gradients.mean())
    largest = max(abs(by_gradient), abs(by_value))
    slack = 4 * probing.rounding(values) + float(chance_of(of_gradients - of_values))
    if abs(by_gradient - by_value) <= slack + 0.02 * largest:
        return ""
    if abs(by_value) <= slack + 1e-3 * largest:
        return f"{name} counts, and else it does not"
    if abs(by_gradient) <= slack + 1e-3 * largest:
        return f"{name} does not count"
    return f"{name} counts {by_gradient / by_value:.2g} times as much"


def _sizes(seen: Evidence) -> Iterator[Finding]:
    d, k = seen.base.d, seen.base.k
    for name, value in (("d", d), ("k", k)):
        said = seen.survey.fixed.get(name)
        if said:
            yield Finding(
                "hard_coded",
                f"The loss works at {name} = {value} alone, so a size is hard-coded, or a layer of "
                f"that size is inside: elsewhere it says {said!r}.{_hint(seen, name, value)}",
                changes=False,
            )
    sizes = _USUAL_D | ({d} if d > 8 else set())
    set_values = {v for v in seen.settings.values() if isinstance(v, int | float)}
    set_values |= set(seen.found.defaults.values())
    for name, law in (("reconstruction", seen.a), ("KL", seen.b)):
        if law is None or not law.constant:
            continue
        for number in sorted(sizes - set_values):
            for power in (1, -1):
                if math.isclose(abs(law.constant), float(number) ** power, rel_tol=2e-4):
                    other = "" if number == d else f", but d is {d}"
                    yield Finding(
                        "hard_coded",
                        f"{number} is hard-coded into the {name}{other}: take the size from the "
                        "tensors.",
                        changes=False,
                    )
    yield from _hidden_sizes(seen)
    if k > 8 and seen.b and math.isclose(abs(seen.b.constant), 1 / k, rel_tol=2e-4):
        yield Finding(
            "hard_coded",
            f"The KL is divided by {k}, which is k: is it hard-coded?",
            certain=False,
            changes=False,
        )


def _hidden_sizes(seen: Evidence) -> Iterator[Finding]:
    """Yield the numbers of an object that was made elsewhere, perhaps of a size, and then fixed."""
    used = {name for law in (seen.a, seen.b) if law for name in law.powers}
    for name, value in seen.found.defaults.items():
        for size, number in (("d", seen.base.d), ("k", seen.base.k)):
            for text, of in ((size, number), (f"1/{size}", 1 / number)):
                if "." in name and name in used and number > 8 and math.isclose(value, of):
                    yield Finding(
                        "hard_coded",
                        f"{name} is {value:.4g}, which is {text}: if it is made of that size, it "
                        "follows it where the object is made, and not here.",
                        certain=False,
                        changes=False,
                    )


def followed_by(settings: Mapping[str, object]) -> set[str]:
    """Return the sizes that settings follow, as ``=B/N`` follows two."""
    texts = [v for v in settings.values() if isinstance(v, str) and v.startswith("=")]
    return {symbol for text in texts for symbol in re.findall(r"\b[dkBN]\b", text)}


def _hint(seen: Evidence, size: str, value: int) -> str:
    """Return how an argument that has the value of a size would follow it."""
    known = {**seen.found.defaults, **seen.settings}
    names = [name for name in seen.found.parameters if known.get(name) == value]
    return f" --args {size}={names[0]} has {names[0]} follow {size}." if names else ""


def _batch(seen: Evidence) -> Iterator[Finding]:
    a, b = seen.a, seen.b
    if "B" in followed_by(seen.settings):
        return
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
    ways = {1.0: "in proportion to the batch size", -1.0: "as one over the batch size"}
    way = ways.get(more, f"with the power {more:g} of the batch size")
    yield Finding(
        "batch_dependence",
        f"beta_eff goes {way}: another batch size, or a partial last batch, trains another "
        "objective.",
        changes=False,
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
    """Yield numbers without effect, and those that a and b follow in no proportion."""
    survey = seen.survey
    for symbol in survey.idle:
        name = name_of(symbol)
        if name not in seen.found.parameters:
            continue
        set_to = f" (set to {seen.settings[name]})" if name in seen.settings else ""
        yield Finding(
            "idle_weight",
            f"The argument {name}{set_to} has no effect on the loss, with the others as they are.",
            changes=False,
        )
    for symbol, points in survey.weights.items():
        name = name_of(symbol)
        for part in ("a", "b"):
            if (
                symbol in survey.reshaped
                or name in seen.found.trained
                or not _has_weight(seen, part)
            ):
                continue
            power = weight_power(survey, symbol, part)
            if power is not None and not (power and is_of_schedule(symbol)):
                continue
            values = [survey.reference, *points]
            how = ", as a schedule does" if says_when(name) else ", not in proportion"
            at = ", ".join(
                f"{getattr(p, part):.4g} at {p.symbols.get(symbol, math.nan):g}" for p in values
            )
            yield Finding(
                "schedule",
                f"{part} moves with {name}{how}: {at}.",
                certain=False,
                changes=name not in seen.settings,
            )


def _reshaped(seen: Evidence) -> Iterator[Finding]:
    """Yield the numbers that change the form of the KL, not its weight."""
    for symbol in seen.survey.reshaped:
        value = seen.survey.reference.symbols.get(symbol, math.nan)
        yield Finding(
            "schedule",
            f"{name_of(symbol)} changes the form of the KL, as a capacity or a floor "
            f"that grows does: this is the loss at {value:g}.",
            certain=False,
        )


def _has_weight(seen: Evidence, part: str) -> bool:
    """Return whether a part has a weight that is a number, whatever else is there."""
    kind = seen.reconstruction.kind
    if part == "a":
        return kind is not None and (kind.whole is None or bool(kind.moving))
    return seen.kl.form not in (KlForm.UNKNOWN, KlForm.SQUARED_CAPACITY)


def _finite(seen: Evidence) -> Iterator[Finding]:
    """Yield what makes the loss infinite or NaN though it is ordinary input."""
    term, base = seen.reconstruction, seen.base
    rest = seen.kl.at_rest()
    still = replace(term.quiet(base), mean=0.0, low=rest, high=rest)
    asked = [("a z_mean of 20", replace(still, mean=20, high=rest + 0.5))]
    named = seen.found.spread == "z_log_var" or seen.kl.form is not KlForm.UNKNOWN
    if seen.kl.frame.name == "log_var" and named:
        name = seen.spread_name or "z_log_var"
        asked = [
            (f"{name} of -20", replace(still, mean=1.0, low=-20, high=-19)),
            (f"{name} of 5", replace(still, mean=1.0, low=5, high=5.5)),
            *asked,
        ]
    ends = term.kind.ends if term.kind else IMAGE_ENDS
    asked += [(words, replace(base, **end)) for words, end in ends]
    told = []
    for what, probe in asked:
        try:
            if not np.isfinite(seen.probing.value(probe, finite=False)).all():
                told.append(what)
        except Stopped as stop:
            if stop.failure.stage == "budget":
                raise
            told.append(what)
    if told:
        among = "among others" if told[1:] else ""
        separator = " " if told[0].endswith(",") else ", "
        mend = "bound what goes into an exponential or a logarithm"
        if "x_hat" in told[0] or "logits" in told[0] or told[0].startswith("x of"):
            mend = "clip the argument of a logarithm, or compute bce from logits"
        place = f"{told[0]}{separator}{among}" if among else told[0].rstrip(",")
        yield Finding(
            "not_finite",
            f"The loss is not finite at {place}: {mend}.",
            changes=False,
        )


def _form(seen: Evidence) -> Iterator[Finding]:
    for name in seen.probing.mutated:
        yield Finding("mutates", f"The loss changes its argument {name} in place.", changes=False)
    if seen.probing.total.doubt:
        yield Finding(
            "total",
            f"Which output is the total? {seen.probing.total.doubt}: "
            f"{seen.probing.total.expression} was audited; --total EXPR says otherwise.",
            certain=False,
        )
    if seen.maximised:
        yield Finding(
            "maximised",
            "It grows as the model improves, like an ELBO: what is minimised has to be its "
            "negative, which was audited.",
            certain=False,
            changes=False,
        )
