"""The whole probing of one loss, wherever it runs: a callable in, what it trains out."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from lossbench.audit import meaning
from lossbench.audit.answer import Ask, Failure, Found, Stopped
from lossbench.audit.finding import Evidence
from lossbench.audit.findings import findings
from lossbench.audit.formulas import assumed, formula, ratio
from lossbench.audit.laws import Law
from lossbench.audit.laws import law as law_of
from lossbench.audit.matching import nearest
from lossbench.audit.probe import Probe, Setting
from lossbench.audit.probing import Probing
from lossbench.audit.result import Audit, Coefficient
from lossbench.audit.scaling import survey
from lossbench.audit.terms import Kl, quiet, read_kl, read_reconstruction
from lossbench.conventions import Reduction, Sizes

_ROWS = (5, 6, 7, 8)
_ROWS_FOR_NOISE = 61
_WEIGHTS = ("beta", "weight", "lam", "gamma", "alpha", "coef", "factor", "scale", "kl", "kld", "w")


def examine(
    ask: Ask,
    found: Callable[[], Found],
    sizes: Sizes,
    shape: tuple[int, ...],
    settings: Mapping[str, Setting],
) -> Audit:
    """Return what a loss trains at these sizes, which must all be known.

    ``Stopped`` if the loss fails, or answers with something that is no loss.
    """
    d, k, batch_size, n_images = sizes.d, sizes.k, sizes.batch_size, sizes.n_images
    if d is None or k is None or batch_size is None or n_images is None:
        raise ValueError("every size must be known")
    probing, base = _begun(
        ask, Probe(d, k, batch_size, batch_size, n_images, shape, settings=tuple(settings.items()))
    )
    how = found()
    if probing.stochastic:
        base = replace(base, rows=_ROWS_FOR_NOISE, batch_size=_ROWS_FOR_NOISE)
    term = read_reconstruction(probing, base)
    latents = read_kl(probing, quiet(base, term.kind))
    if not term.present and latents.form == "absent":
        raise Stopped(Failure("constant"))
    weights = _weights(how.defaults, settings)
    base = replace(base, settings=tuple({**weights, **dict(base.settings)}.items()))
    varies = tuple(v for v in how.varies if v != "B" or base.rows != batch_size or batch_size < 9)
    seen = survey(
        probing, base, batch_size, varies, (term, latents), weights, "B" in how.arguments.values()
    )
    own = {"d": float(d), "k": float(k)}
    fixed = {size: value for size, value in own.items() if size in seen.fixed}
    laws = [law_of(seen, part) for part in ("a", "b")]
    a, b = (assumed(law, fixed) if law else None for law in laws)
    evidence = Evidence(probing, base, how, term, latents, seen, a, b, settings)
    eff = ratio(b, a) if a and b else None
    asked = seen.asked
    points = () if fixed else seen.points
    audit = Audit(
        name=how.name,
        framework=how.framework,
        returns=probing.form,
        d=d,
        k=k,
        batch_size=batch_size,
        n_images=n_images,
        settings=settings,
        reconstruction=term.kind,
        nearest=term.nearest,
        misfit=term.misfit,
        kl_form=latents.form,
        over_inputs=_reduction(a, "d", -1),
        over_latents=_reduction(b, "k", -1),
        over_batch=_reduction(a, "B", 0),
        kl_over_batch=_reduction(b, "B", 0),
        a=Coefficient(asked.a, asked.a_error, formula(a) if a else None),
        b=Coefficient(asked.b, asked.b_error, formula(b) if b else None),
        beta_eff=Coefficient(asked.beta_eff, asked.beta_eff_error, formula(eff) if eff else None),
        match=nearest(term.kind, points, asked) if _whole(latents) else None,
        findings=findings(evidence),
        fixed=tuple(fixed),
        stochastic=probing.stochastic,
        n_calls=probing.n_calls,
        power_of_k=eff.powers.get("k", 0.0) if eff else None,
    )
    return meaning.told(audit, a, b, eff)


def _begun(ask: Ask, asked: Probe) -> tuple[Probing, Probe]:
    """Return the probing at a small batch unlike d and k; at the asked one if it refuses that."""
    rows = next(n for n in _ROWS if n not in (asked.d, asked.k))
    small = replace(asked, rows=rows, batch_size=rows)
    try:
        return Probing(ask, small), small
    except Stopped as stop:
        if stop.failure.stage != "call":
            raise
        try:
            return Probing(ask, asked), asked
        except Stopped as again:
            raise (again if again.failure.stage != "call" else stop) from None


def _weights(defaults: Mapping[str, float], settings: Mapping[str, Setting]) -> dict[str, float]:
    """Return the numbers that weigh a term: those that are set, and defaults named like weights."""
    found = {
        name: value
        for name, value in defaults.items()
        if any(word in name.lower().split("_") or name.lower() == word for word in _WEIGHTS)
        or "weight" in name.lower()
        or "beta" in name.lower()
        or "lambda" in name.lower()
    }
    for name, value in settings.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = float(value)
    return found


def _whole(latents: Kl) -> bool:
    return latents.form in ("closed", "log_std", "clipped", "floor", "cap", "absent")


def _reduction(law: Law | None, symbol: str, mean: int) -> Reduction | None:
    """Return whether a size is averaged over (its power is ``mean``) or summed over."""
    if law is None or not law.constant or (law.shift and law.shift[0] == symbol):
        return None
    power = law.powers.get(symbol, 0)
    if math.isclose(power, mean):
        return "mean"
    return "sum" if math.isclose(power, mean + 1) else None
