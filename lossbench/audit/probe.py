"""A probe: tensors that are made to measure, so that a loss has to give itself away.

A probe is a recipe of a few numbers; ``arrays`` draws it, always the same, on either side of
the process boundary. The features are what the known terms are worth on it: summed over the
inputs or the latents, averaged over the rows, so that a loss is ``a*R + b*K + constant``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Setting = float | str | bool | None
Patch = tuple[int, int]

EVERY = -2  # in a patch: every row, or every column (-1 is the last one)
_SEED = 20160514
_NEAR, _NEAR_LOGIT, _FAR_LOGIT = 0.001, 10.0, 100.0


@dataclass(frozen=True)
class Probe:
    """What a loss is called with.

    ``d`` inputs in images of ``shape``, ``k`` latents, ``rows`` images; ``batch_size`` and
    ``n_images`` go to arguments of that meaning (a partial batch has fewer rows).

    ``x`` is grey (0.2 to 0.8) or binary. ``x_hat`` is at a ``level``, give or take 0.05;
    equal to x; near a binary x as probabilities or as logits; saturated (exactly x or 1 - x) or
    far (logits of 100). In the patch (row, column) it is at 1 - level.

    The latents have means of ``mean`` in size, give or take 30%, with random signs, and log
    variances between ``low`` and ``high``; outside ``latent_patch``, where there is one, they
    are zero. ``image_draw`` and ``latent_draw`` number the draws; ``seed`` is
    for the loss's own randomness; ``settings`` are further arguments.
    """

    d: int
    k: int
    rows: int
    batch_size: int
    n_images: int
    shape: tuple[int, ...]
    x: Literal["grey", "binary"] = "grey"
    x_hat: Literal["level", "equal", "near", "near_logits", "saturated", "opposite", "far"] = (
        "level"
    )
    level: float = 0.4
    patch: Patch | None = None
    mean: float = 0.0
    low: float = 0.0
    high: float = 0.0
    latent_patch: Patch | None = None
    image_draw: int = 0
    latent_draw: int = 0
    seed: int = 0
    settings: tuple[tuple[str, Setting], ...] = ()


def arrays(probe: Probe) -> dict[str, Floats]:
    """Return x and x_hat ``(rows, *shape)``, z_mean, z_log_var and the noise ``(rows, k)``."""
    x, x_hat = _images(probe)
    z_mean, z_log_var = _latents(probe)
    noise = np.random.default_rng([_SEED, 3, probe.seed]).standard_normal(z_mean.shape)
    shape = (probe.rows, *probe.shape)
    return {
        "x": x.reshape(shape),
        "x_hat": x_hat.reshape(shape),
        "z_mean": z_mean,
        "z_log_var": z_log_var,
        "noise": noise,
    }


def _images(probe: Probe) -> tuple[Floats, Floats]:
    size = (probe.rows, probe.d)
    x = np.random.default_rng([_SEED, 0]).uniform(0.2, 0.8, size)
    if probe.x == "binary":
        x = (x > 0.5).astype(np.float64)
    match probe.x_hat:
        case "equal" | "saturated":
            x_hat = x.copy()
        case "opposite":
            x_hat = 1 - x
        case "near":
            x_hat = np.where(x > 0.5, 1 - _NEAR, _NEAR)
        case "near_logits" | "far":
            logit = _NEAR_LOGIT if probe.x_hat == "near_logits" else _FAR_LOGIT
            x_hat = np.where(x > 0.5, logit, -logit)
        case "level":
            jitter = np.random.default_rng([_SEED, 1, probe.image_draw]).uniform(-0.05, 0.05, size)
            x_hat = probe.level + jitter
    if probe.patch is not None:
        x_hat[_inside(probe.patch, size)] = 1 - probe.level
    return x, x_hat


def _latents(probe: Probe) -> tuple[Floats, Floats]:
    size = (probe.rows, probe.k)
    draws = np.random.default_rng([_SEED, 2, probe.latent_draw])
    signs = np.where(draws.random(size) < 0.5, -1.0, 1.0)
    z_mean = probe.mean * signs * draws.uniform(0.7, 1.3, size)
    z_log_var = draws.uniform(0, 1, size) * (probe.high - probe.low) + probe.low
    if probe.latent_patch is not None:
        outside = ~_inside(probe.latent_patch, size)
        z_mean[outside], z_log_var[outside] = 0.0, 0.0
    return z_mean, z_log_var


def _inside(patch: Patch, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where in an array of that size the patch lies."""
    inside = np.zeros(size, dtype=bool)
    row, column = (slice(None) if place == EVERY else place for place in patch)
    inside[row, column] = True
    return inside


def _bce(x: Floats, x_hat: Floats) -> Floats:
    return -(x * np.log(x_hat) + (1 - x) * np.log1p(-x_hat))


_RECONSTRUCTIONS: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "bce": _bce,
    "mse": lambda x, x_hat: (x - x_hat) ** 2,
    "bce_logits": lambda x, x_hat: np.logaddexp(0, x_hat) - x * x_hat,
    "l1": lambda x, x_hat: np.abs(x - x_hat),
    "categorical": lambda x, x_hat: -x * np.log(x_hat),
    "bce_swapped": lambda x, x_hat: _bce(x_hat, x),
}
KINDS = tuple(_RECONSTRUCTIONS)


def reconstructions(probe: Probe) -> dict[str, float]:
    """Return every kind of R on a probe whose x and x_hat lie inside (0, 1)."""
    x, x_hat = _images(probe)
    return {kind: float(term(x, x_hat).sum(1).mean()) for kind, term in _RECONSTRUCTIONS.items()}


def reconstruction(probe: Probe, kind: str) -> float:
    """Return R of one kind."""
    return float(_RECONSTRUCTIONS[kind](*_images(probe)).sum(1).mean())


_PARTS: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "mean^2": lambda mean, _: mean**2,
    "exp(log_var)": lambda _, log_var: np.exp(log_var),
    "log_var": lambda _, log_var: log_var,
    "exp(log_var)^2": lambda _, log_var: np.exp(2 * log_var),
    "exp(log_var/2)": lambda _, log_var: np.exp(log_var / 2),
    "|mean|": lambda mean, _: np.abs(mean),
    "mean": lambda mean, _: mean,
    "log_var^2": lambda _, log_var: log_var**2,
}
PARTS = tuple(_PARTS)


def parts(probe: Probe) -> list[float]:
    """Return what the parts of a KL, right or wrong, are worth, in the order of ``PARTS``."""
    z_mean, z_log_var = _latents(probe)
    return [float(part(z_mean, z_log_var).sum(1).mean()) for part in _PARTS.values()]


def kl_terms(probe: Probe, *, log_std: bool = False) -> Floats:
    """Return the closed-form KL of every row and latent, in nats ``(rows, k)``.

    ``1/2 (mean^2 + variance - 1 - ln variance)``; with ``log_std`` the second array is the
    logarithm of the standard deviation.
    """
    z_mean, z_log_var = _latents(probe)
    log_var = 2 * z_log_var if log_std else z_log_var
    return 0.5 * (z_mean**2 + np.exp(log_var) - 1 - log_var)


def kl(probe: Probe, *, log_std: bool = False) -> float:
    """Return K: summed over the latents, averaged over the rows."""
    return math.fsum(kl_terms(probe, log_std=log_std).sum(1)) / probe.rows
