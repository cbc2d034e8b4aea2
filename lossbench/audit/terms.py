"""Which reconstruction and which KL a loss has, read off its answers at one set of sizes."""

from dataclasses import dataclass, replace

import numpy as np

from lossbench.audit.probe import (
    EVERY,
    KINDS,
    PARTS,
    Floats,
    Probe,
    kl,
    kl_terms,
    parts,
    reconstruction,
    reconstructions,
)
from lossbench.audit.probing import UNEVEN, Probing, fit, share

_LEVELS = (0.12, 0.27, 0.42, 0.58, 0.73, 0.88)
_SQUARED = ("mse", "l1")
_QUIET = {
    "bce": ("binary", "near"),
    "categorical": ("binary", "near"),
    "bce_logits": ("binary", "near_logits"),
}
# Sizes of the means and ranges of the log variances: near nothing, usual, and large.
_SMALL = ((0.1, 0.0, 0.0), (0.0, -0.1, 0.1), (0.15, -0.1, 0.1))
_USUAL = (
    *((0.0, 0.0, 0.0), (0.0, -1.5, 0.5), (1.0, 0.0, 0.0), (0.0, 0.2, 1.2), (2.0, -1.0, -0.8)),
    *((0.0, -3.0, -2.0), (0.7, -1.0, 1.0), (1.5, 0.5, 1.0), (0.0, 1.0, 1.6), (2.5, 0.0, 1.0)),
    *((0.4, -2.0, 0.0), (1.2, -0.5, 0.7)),
)
_LARGE = ((3.5, -4.0, -2.0), (4.0, 0.0, 0.0), (4.5, 0.5, 1.5), (5.0, -1.0, 0.0), (6.0, -3.0, 0.0))
_FAR = ((8.0, 0.0, 0.0), (0.0, -8.0, -8.0), (0.0, 4.0, 4.0))
_ROWS = {"the first image": (0, EVERY), "the last image": (-1, EVERY)}


@dataclass(frozen=True)
class Reconstruction:
    """The reconstruction term: its kind, or ``None`` with the nearest one and the misfit.

    ``present`` is whether the loss feels x_hat at all; ``mixture`` holds the weights where it
    is a sum of kinds; ``uneven`` says which images or pixels do not count like the others.
    """

    kind: str | None
    nearest: str
    misfit: float
    present: bool
    mixture: dict[str, float]
    uneven: str


@dataclass(frozen=True)
class Kl:
    """The KL term: ``weights`` of its parts as a multiple of the right ones, where it is one.

    ``form`` is ``closed``, ``log_std`` (closed in the log of the standard deviation),
    ``floor``, ``cap``, ``clipped``, ``parts`` (of which some are wrong), ``unknown`` or
    ``absent``; ``floor`` is the floor or cap in nats, ``floor_over`` what it is on.
    """

    form: str
    misfit: float = 0.0
    weights: dict[str, float] | None = None
    floor: float = 0.0
    floor_over: str = ""
    uneven: str = ""


def read_reconstruction(probing: Probing, base: Probe) -> Reconstruction:
    """Return the kind of reconstruction, with the latents at zero."""
    probes = [replace(base, level=level, image_draw=n) for n, level in enumerate(_LEVELS)]
    probes += [
        replace(base, level=level, image_draw=9 + n, patch=(EVERY, n - 1))
        for n, level in enumerate((0.2, 0.65))
    ]
    values = probing.values(probes)
    spread = np.ptp(values.mean(axis=1))
    if spread <= probing.rounding(values):
        return Reconstruction(None, "bce", 0.0, False, {}, "")
    features = [reconstructions(probe) for probe in probes]
    fits = {
        kind: fit(probing, np.array([[row[kind]] for row in features]), values) for kind in KINDS
    }
    nearest = min(fits, key=lambda kind: fits[kind].misfit)
    best = fits[nearest]
    if best.holds:
        change = float(best.coefficients.mean())
        uneven = _told(_uneven_pixels(probing, base, nearest, change), "reconstruction")
        return Reconstruction(nearest, nearest, best.misfit, True, {}, uneven)
    shares = _uneven_pixels(probing, base, nearest, float(best.coefficients.mean()))
    uneven = _told(shares, "reconstruction", unfelt=True)
    usual = ("bce", "mse", "l1")
    mixed = fit(probing, np.array([[row[kind] for kind in usual] for row in features]), values)
    mixture = {}
    if mixed.holds and not uneven:
        shares = mixed.coefficients.mean(axis=1)
        mixture = {kind: float(w) for kind, w in zip(usual, shares, strict=True) if w > 1e-9}
    return Reconstruction(None, nearest, best.misfit, True, mixture, uneven)


def quiet(base: Probe, kind: str | None) -> Probe:
    """Return a probe with as little reconstruction error as its kind allows.

    A kind that is not known may be anything there, infinite too: it stays where it was.
    """
    if kind is None:
        return base
    x, x_hat = _QUIET.get(kind, ("grey", "equal"))
    return replace(base, x=x, x_hat=x_hat)  # type: ignore[arg-type]


def read_kl(probing: Probing, base: Probe) -> Kl:
    """Return the form of the KL; ``base`` is quiet."""
    usual = [_at(base, sizes, n) for n, sizes in enumerate(_USUAL)]
    small = [_at(base, sizes, 20 + n) for n, sizes in enumerate(_SMALL)]
    large = [_at(base, sizes, 40 + n) for n, sizes in enumerate(_LARGE)]
    probes = [*usual, *small, *large]
    values = probing.values(probes)
    if np.ptp(values.mean(axis=1)) <= probing.rounding(values):
        return Kl("absent")
    for form, log_std in (("closed", False), ("log_std", True)):
        found = fit(probing, np.array([[kl(p, log_std=log_std)] for p in probes]), values)
        if found.holds:
            b = float(found.coefficients.mean())
            uneven = _told(_uneven_latents(probing, base, b, log_std=log_std), "KL")
            clipped = not (log_std or probing.stochastic) and _clipped(probing, base, b)
            return Kl("clipped" if clipped else form, found.misfit, uneven=uneven)
    closed = fit(probing, np.array([[kl(p)] for p in probes]), values)
    some = [*range(len(usual) + len(small))]
    for form, chosen in (("cap", some), ("floor", range(len(some), len(probes)))):
        picked = list(chosen)
        held = fit(probing, np.array([[kl(probes[n])] for n in picked]), values[picked])
        if held.holds and abs(held.coefficients.mean()) > 0:
            bounded = _bounded(probing, base, form, held.coefficients[0], held.constant)
            if bounded is not None:
                return replace(bounded, misfit=closed.misfit)
    b = float(closed.coefficients.mean())
    uneven = _told(_uneven_latents(probing, base, b, log_std=False), "KL", unfelt=True)
    if uneven:
        return Kl("closed", closed.misfit, uneven=uneven)
    return _of_parts(probing, probes, values, closed.misfit)


def _of_parts(probing: Probing, probes: list[Probe], values: Floats, misfit: float) -> Kl:
    """Return a KL some of whose parts are missing or wrong, as weights of the right ones."""
    features = np.array([parts(p) for p in probes])
    found = fit(probing, features, values)
    if not found.holds:
        return Kl("unknown", misfit)
    effects = found.coefficients.mean(axis=1) * features.std(axis=0)
    small = 1e-3 * np.abs(effects).max()
    right = {"mean^2": 0.5, "exp(log_var)": 0.5, "log_var": -0.5}
    weights = {
        name: float(c / right.get(name, 0.5))
        for name, c, effect in zip(PARTS, found.coefficients.mean(axis=1), effects, strict=True)
        if abs(effect) > small or name in right
    }
    weights = {
        name: 0.0 if abs(effects[PARTS.index(name)]) <= small else w for name, w in weights.items()
    }
    return Kl("parts", misfit, weights)


def _at(base: Probe, sizes: tuple[float, float, float], draw: int) -> Probe:
    mean, low, high = sizes
    return replace(base, mean=mean, low=low, high=high, latent_draw=draw)


def _bounded(probing: Probing, base: Probe, form: str, b: Floats, constant: Floats) -> Kl | None:
    """Return the floor or the cap, in nats, and what it is on; ``None`` if it is neither."""
    end = _at(base, _USUAL[0] if form == "floor" else _LARGE[-1], 0)
    bound = float(((probing.value(end) - constant) / b).mean())
    if form == "floor":
        near = _at(base, _SMALL[0], 20)
        flat = float(((probing.value(near) - constant) / b).mean())
        if bound <= 0 or abs(flat - bound) > 1e-3 * bound:
            return None
        over = "the KL of an image"
        if base.k > 1:
            one = replace(_at(base, _LARGE[0], 40), latent_patch=(EVERY, 0))
            got = float(((probing.value(one) - constant) / b).mean())
            alone = float(kl_terms(one)[:, 0].mean())
            if abs(got - (alone + bound * (base.k - 1) / base.k)) < 1e-3 * got:
                return Kl(form, floor=bound / base.k, floor_over="every latent")
        return Kl(form, floor=bound, floor_over=over)
    other = float(((probing.value(_at(base, _LARGE[-2], 43)) - constant) / b).mean())
    if abs(bound - other) > 1e-3 * abs(bound):
        return None
    return Kl(form, floor=bound, floor_over="the KL of an image")


def _clipped(probing: Probing, base: Probe, b: float) -> bool:
    """Return whether far latents no longer move the KL as they should."""
    zero = probing.value(_at(base, _USUAL[0], 0))
    for n, sizes in enumerate(_FAR):
        far = _at(base, sizes, 60 + n)
        got = probing.value(far, finite=False) - zero
        if np.isfinite(got).all() and abs(float(got.mean()) / (b * kl(far)) - 1) > UNEVEN:
            return True
    return False


def _uneven_pixels(probing: Probing, base: Probe, kind: str, a: float) -> dict[str, float]:
    """Return how often the ends of the images count in the reconstruction, where not once."""
    plain = replace(base, level=0.25)
    before, r = probing.value(plain), reconstruction(plain, kind)
    found = {}
    for place, patch in {
        **_ROWS,
        "the first pixel": (EVERY, 0),
        "the last pixel": (EVERY, -1),
    }.items():
        moved = replace(plain, patch=patch)
        expected = a * (reconstruction(moved, kind) - r)
        found[place] = share(probing, probing.value(moved) - before, before, expected)
    return {place: times for place, times in found.items() if times is not None}


def _uneven_latents(probing: Probing, base: Probe, b: float, *, log_std: bool) -> dict[str, float]:
    """Return how often the ends of the latents count in the KL, where not once."""
    before = probing.value(base)
    found = {}
    for place, patch in {
        **_ROWS,
        "the first latent": (EVERY, 0),
        "the last latent": (EVERY, -1),
    }.items():
        moved = replace(_at(base, (2.5, -1.0, -0.5), 3), latent_patch=patch)
        expected = b * kl(moved, log_std=log_std)
        found[place] = share(probing, probing.value(moved) - before, before, expected)
    return {place: times for place, times in found.items() if times is not None}


def _told(shares: dict[str, float], term: str, *, unfelt: bool = False) -> str:
    """Return what is uneven, in words; ``unfelt`` tells of what counts nothing alone."""
    for place, times in sorted(shares.items(), key=lambda each: abs(each[1])):
        if abs(times) < UNEVEN:
            return f"{place} counts nothing in the {term}"
        if not unfelt:
            return f"{place} counts {times:.3g} times in the {term}"
    return ""
