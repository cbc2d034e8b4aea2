"""The whole probing of one loss, wherever it runs: a callable in, what it trains out."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from lossbench.auditing import meaning
from lossbench.auditing.findings import Evidence, clamp_text, findings, followed_by, frames_of
from lossbench.auditing.kl_term import Kl, KlForm, is_coarse, read_kl
from lossbench.auditing.laws import Law, formula, ratio, readings, worth
from lossbench.auditing.laws import law as law_of
from lossbench.auditing.matching import match_of
from lossbench.auditing.probe import Probe, Setting
from lossbench.auditing.probing import Probing
from lossbench.auditing.reconstruction import Reconstruction, read_reconstruction
from lossbench.auditing.records import Ask, Failure, Found, Stopped
from lossbench.auditing.result import Audit, Coefficient
from lossbench.auditing.scaling import Point, Survey, survey
from lossbench.auditing.total import read_total
from lossbench.loss import Reduction, Sizes

_ROWS = (5, 6, 7, 8)
_STARTS = (0.0, 1.0, 0.3)
_OTHER_SIZES = ({"d": 17, "k": 3, "B": 9}, {"d": 40, "k": 11, "B": 14, "N": 500})


def examine(
    ask: Ask,
    found: Callable[[], Found],
    sizes: Sizes,
    shape: tuple[int, ...],
    settings: Mapping[str, Setting],
    *,
    latent_shape: tuple[int, ...] = (),
    total: str | None = None,
    seconds: float = math.inf,
    said: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Return what a loss trains at these sizes, which must all be known.

    ``total`` is arithmetic in the outputs; it takes at most ``seconds``; ``said`` is told how long
    it will take where that is long. ``Stopped`` if the loss fails, takes longer, or answers with
    something that is no loss.
    """
    d, k, batch_size, n_images = sizes.d, sizes.k, sizes.batch_size, sizes.n_images
    if d is None or k is None or batch_size is None or n_images is None:
        raise ValueError("every size must be known")
    asked = Probe(
        *(d, k, batch_size, batch_size, n_images, shape, latent_shape),
        settings=tuple(settings.items()),
    )
    deadline = time.monotonic() + seconds
    base = _begun(ask, asked)
    how = found()
    if how.spread != asked.spread:  # the second array as it stands, not as a log variance
        base = _begun(ask, replace(asked, spread=how.spread))  # type: ignore[arg-type]
    weights = _weights(how, settings)
    chosen = read_total(total) if total else None
    base = replace(base, settings=tuple({**weights, **settings}.items()))
    others = [
        {name: value + 3 if isinstance(value, int) else 1.3 * value + 0.7}
        for name, value in weights.items()
    ]
    probing = Probing(ask, base, others, chosen, deadline, said)
    of_any_batch = base.rows != batch_size or batch_size < 9
    base = probing.plan(base)
    added = probing.is_added(base)
    term = read_reconstruction(probing, base)
    kl = read_kl(probing, term.quiet(base), _frames(how))
    if not added:
        term = replace(term, kind=None, mixture={}, uneven="")
        kl = Kl(KlForm.UNKNOWN, coarse=is_coarse(probing, base), rest=base.low)
    if not term.present and kl.form is KlForm.ABSENT:
        raise Stopped(Failure("constant"))
    followed = followed_by(settings) & {"B", "N"}
    varies = tuple(
        v for v in dict.fromkeys((*how.varies, *sorted(followed))) if v != "B" or of_any_batch
    )
    seen = survey(
        *(probing, base, batch_size, varies, (term, kl), weights),
        sized_batch="B" in how.arguments.values(),
    )
    maximised = added and seen.reference.a < 0 and seen.reference.b < 0 and kl.form is KlForm.CLOSED
    if maximised:
        probing.total = probing.total.negative()
        seen = _negative(seen)
    return _told(probing, base, how, term, kl, seen, settings, maximised, added)


def _begun(ask: Ask, asked: Probe) -> Probe:
    """Return the probe at a small batch unlike d and k; at the asked one if it refuses that.

    Its u is 0, or where the loss is finite: log(u) is not at 0.
    """
    rows = next(n for n in _ROWS if n not in (asked.d, asked.k))
    small = replace(asked, rows=rows, batch_size=rows)
    first: Failure | None = None
    for probe in (small, asked):
        for u in _STARTS if asked.spread == "z_log_var" else _STARTS[1:]:
            for mean in (0.0, 0.5):  # a correlation is not finite where all latents are alike
                start = replace(probe, mean=mean, low=u, high=u + mean, still=u)
                answer = ask(start)
                first = first or answer.failure
                bad = any(out.n_not_finite for out in answer.outputs)
                if answer.failure is None and not bad:
                    return start
                if answer.failure is not None and answer.failure.stage != "call":
                    raise Stopped(answer.failure)
    if first is None:
        raise Stopped(Failure("not finite", "", "latents near 0, x and x_hat between 0 and 1"))
    raise Stopped(first)


def _frames(how: Found) -> tuple[str, ...]:
    names = {role: name for name, role in how.arguments.items()}
    return frames_of(names.get(how.spread, "log_var"), how.spread)


def _weights(how: Found, settings: Mapping[str, Setting]) -> dict[str, float]:
    """Return the further numbers of a loss: defaults, what is set, what it trains itself."""
    found = {**how.defaults, **how.trained}
    for name, value in settings.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = value
    return found


def _negative(seen: Survey) -> Survey:
    def turned(point: Point) -> Point:
        return replace(point, a=-point.a, b=-point.b, rest=-point.rest)

    many = {
        name: {symbol: tuple(map(turned, points)) for symbol, points in getattr(seen, name).items()}
        for name in ("around", "weights")
    }
    one = {
        name: turned(point)
        for name in ("asked", "reference", "joint", "partial", "evaluating")
        if (point := getattr(seen, name)) is not None
    }
    return replace(seen, **many, **one)  # type: ignore[arg-type]


def _told(
    probing: Probing,
    base: Probe,
    how: Found,
    term: Reconstruction,
    kl: Kl,
    seen: Survey,
    settings: Mapping[str, Setting],
    maximised: bool,
    added: bool,
) -> Audit:
    sizes = {"d": float(base.d), "k": float(base.k)}
    fixed = {size: sizes[size] for size in sizes if size in seen.fixed}
    of_images = {size: value for size, value in fixed.items() if size != "k"}
    a, b = _readings(law_of(seen, "a"), of_images), _readings(law_of(seen, "b"), fixed)
    known = term.kind is not None and term.kind.likelihood
    moving = term.kind is not None and bool(term.kind.moving)
    has_b = kl.form is not KlForm.UNKNOWN
    weighs = kl.form in (KlForm.CLOSED, KlForm.FLOOR, KlForm.CAP, KlForm.PARTS)
    evidence = Evidence(
        *(probing, base, how, term, kl, seen, a[0] if a else None, b[0] if b else None),
        *(settings, maximised, not added),
    )
    asked = seen.asked
    set_by_batch = "B" in followed_by(settings)
    no = Coefficient(math.nan, 0.0, None)
    shown_a = _coefficient(asked.a, asked.a_error, a) if term.kind or not term.present else no
    shown_b = _coefficient(asked.b, asked.b_error, b) if has_b else no
    eff = ratio(b[0], a[0]) if a and b else None
    effs = tuple(e for x in a for y in b if (e := ratio(y, x)) is not None)
    shown = no
    follows = ""
    if moving and has_b:
        shown_a, follows = _moved(term, a, b)
        shown = replace(no, formula=follows or None)
    elif known and weighs:
        shown = _coefficient(asked.beta_eff, asked.beta_eff_error, effs)
    elif not term.present and weighs:
        shown = replace(no, value=asked.beta_eff)
    tied = kl.form is KlForm.ABSENT and known
    if tied:
        shown = _coefficient(0.0, 0.0, effs)
    points = seen.points if not fixed else _points(seen, a, b)
    plain = (
        has_b
        and kl.form in (KlForm.CLOSED, KlForm.FLOOR, KlForm.CAP)
        and not (kl.further or kl.uneven or term.uneven)
    )
    kind = term.kind.name if term.kind else None
    found = findings(evidence)
    unlike = (*meaning.MOVING, "detached")
    plain = plain and not any(finding.code in unlike for finding in found)
    plain = plain and not meaning.is_noisy(shown)
    audit = Audit(
        name=how.name,
        framework=how.framework,
        returns=probing.form,
        total=probing.total.expression,
        filled=tuple(how.filled),
        d=base.d,
        k=base.k,
        batch_size=int(asked.symbols["B"]),
        n_images=base.n_images,
        settings=settings,
        reconstruction=kind,
        words=term.kind.words if term.kind else "",
        nearest=term.nearest.name,
        misfit=term.misfit,
        kl_form=kl.form.value,
        kl_frame=kl.frame.name,
        kl_bound=kl.bound or None,
        kl_over=kl.over.value if kl.bound else "",
        clamps=tuple(clamp_text(c, evidence.spread_name) for c in kl.clamps if not c.soft),
        over_inputs=_reduction(a, "d", -1) if term.kind and term.kind.term else None,
        over_latents=_reduction(b, "k", -1) if has_b else None,
        over_batch=_reduction(a, "B", 0) if term.kind else None,
        kl_over_batch=None if set_by_batch or not has_b else _reduction(b, "B", 0),
        a=shown_a,
        b=shown_b,
        beta_eff=shown,
        match=match_of(kind, points, asked) if plain and points else None,
        findings=found,
        fixed=tuple(size for size in ("d", "k", "channels") if size in seen.fixed),
        stochastic=probing.stochastic,
        n_calls=probing.n_calls,
        power_of_k=eff.powers.get("k", 0.0) if eff else None,
    )
    laws = () if set_by_batch else (*a[:1], *b[:1])
    batch = {law.powers.get("B", 0) for law in laws if law.constant}
    n_channels = int(asked.symbols.get("channels", 0))
    one = eff if len(effs) == 1 else None
    return meaning.told(audit, one, follows, len(batch) > 1, n_channels)


def _readings(law: Law | None, fixed: Mapping[str, float]) -> tuple[Law, ...]:
    return () if law is None else readings(law, fixed)


def _coefficient(value: float, error: float, laws: tuple[Law, ...]) -> Coefficient:
    texts = tuple(dict.fromkeys(formula(law) for law in laws))
    if len(texts) > 1:
        return Coefficient(value, error, None, texts[:2])
    return Coefficient(value, error, texts[0] if texts else None)


def _moved(term: Reconstruction, a: tuple[Law, ...], b: tuple[Law, ...]) -> tuple[Coefficient, str]:
    """Return a and beta_eff of a kind whose weight follows its error, as formulas.

    A factor c of f(mse) weighs the squared errors, summed over the inputs, by ``c/(d*moving)``.
    """
    if term.kind is None or not a or not b:
        return Coefficient(math.nan, 0.0, None), ""
    factor = a[0]
    each = Law(factor.constant, {**factor.powers, "d": factor.powers.get("d", 0.0) - 1})
    each = Law(each.constant, {s: p for s, p in each.powers.items() if p}, factor.shift)
    times, _, error = term.kind.moving.rpartition("*")
    each = replace(each, constant=each.constant / float(times or 1))
    weight = ratio(b[0], each)
    if weight is None:
        return Coefficient(math.nan, 0.0, None), ""
    text = formula(weight)
    beta_eff = error if text == "1" else f"{text}*{error}"
    top, _, bottom = formula(each).partition("/")
    bare = bottom[1:-1] if bottom[:1] == "(" else bottom
    divisor = f"({bare}*{error})" if bare else error
    return Coefficient(math.nan, 0.0, f"{top}/{divisor}"), beta_eff


def _points(seen: Survey, a: tuple[Law, ...], b: tuple[Law, ...]) -> tuple[Point, ...]:
    """Return points at sizes that could not be asked for, where one law says what they are."""
    if len(a) != 1 or len(b) != 1:
        return ()
    found = []
    for sizes in ({}, *_OTHER_SIZES):
        symbols = {**seen.asked.symbols, **sizes}
        found.append(
            replace(seen.asked, symbols=symbols, a=worth(a[0], symbols), b=worth(b[0], symbols))
        )
    return tuple(found)


def _reduction(laws: tuple[Law, ...], symbol: str, mean: int) -> Reduction | None:
    """Return whether a size is averaged over (its power is ``mean``) or summed over."""
    if len(laws) != 1:
        return None
    law = laws[0]
    if not law.constant or (law.shift and law.shift[0] == symbol):
        return None
    if symbol == "d" and "channels" in law.powers:  # some of the inputs, not all
        return None
    power = law.powers.get(symbol, 0)
    if math.isclose(power, mean):
        return "mean"
    return "sum" if math.isclose(power, mean + 1) else None
