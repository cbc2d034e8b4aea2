"""A probe: tensors that are made to measure, so that a loss has to give itself away.

A probe is a recipe of a few numbers; ``arrays`` draws it, always the same, on either side of
the process boundary, and the terms of the analysis are computed from the same draws.
"""

import functools
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Setting = float | str | bool | None
BRACKETS = ("(", "[", "{")  # a setting that begins with one is a literal
Patch = tuple[int, int]
Way = Literal["", "level", "mean", "u"]

EVERY = -2  # in a patch: every row, or every column (-1 is the last one)
_SEED = 20160514
_NEAR, _NEAR_LOGIT, _FAR_LOGIT = 0.001, 10.0, 100.0


@dataclass(frozen=True)
class Probe:
    """What a loss is called with.

    ``d`` inputs in images of ``shape``, ``k`` latents an image (in ``latent_shape`` where they are
    not flat), ``rows`` images; ``batch_size`` and ``n_images`` go to arguments of that meaning (a
    partial batch has fewer rows). ``training`` asks for the training or the evaluation mode;
    ``spread`` is the role of the argument that gets u.

    ``x`` is grey (0.2 to 0.8) or binary. ``x_hat`` is at a ``level``, give or take 0.05; off x by
    ``level``, up or down; equal to x; near a binary x as probabilities or as logits; saturated
    (exactly x or 1 - x) or far (logits of 100). In the patch (row, column) it is at 1 - level.

    In ``x``, ``x_step`` is added up or down to every input of a grey x, by number ``image_draw``.

    The latents are handed over as z_mean and as ``u``, the second array, whatever a loss takes it
    for: ``drawn`` (means of ``mean`` in size, give or take 30%, u between ``low`` and ``high``),
    ``even`` (exactly ``mean`` and ``low``), ``signed`` (as even, minus for every second image) or
    ``uneven`` (as drawn, but some images and some
    latents have means of a tenth and ten times the size). ``alike`` gives every image the latents
    of the first; outside ``latent_patch``, where there is one, they are 0 and ``still``. Signs of
    the means are drawn, or all plus for ``even``. ``image_draw`` and
    ``latent_draw`` number the draws; ``along`` asks for what the gradient foretells where the
    ``level`` of x_hat "off", the ``mean``, or all of u is larger by ``step``; ``seed`` is for the
    loss's own randomness; ``settings`` are further arguments.
    """

    d: int
    k: int
    rows: int
    batch_size: int
    n_images: int
    shape: tuple[int, ...]
    latent_shape: tuple[int, ...] = ()
    training: bool = True
    spread: Literal["z_log_var", "z_std", "z_var"] = "z_log_var"
    x: Literal["grey", "binary"] = "grey"
    x_hat: Literal[
        "level", "off", "equal", "near", "near_logits", "saturated", "opposite", "far"
    ] = "level"
    level: float = 0.4
    x_step: float = 0.0
    patch: Patch | None = None
    pattern: Literal["drawn", "even", "signed", "uneven"] = "drawn"
    alike: bool = False
    mean: float = 0.0
    low: float = 0.0
    high: float = 0.0
    still: float = 0.0
    latent_patch: Patch | None = None
    image_draw: int = 0
    latent_draw: int = 0
    along: Way = ""
    step: float = 0.0
    seed: int = 0
    settings: tuple[tuple[str, Setting], ...] = ()

    def further(self, step: float) -> "Probe":
        """Return the probe that lies a step along its way, to be asked for its value."""
        there = replace(self, along="", step=0.0)
        match self.along:
            case "level":
                return replace(there, level=self.level + step)
            case "mean":
                return replace(there, mean=self.mean + step)
        return replace(there, low=self.low + step, high=self.high + step)


def channel_axis(shape: tuple[int, ...]) -> int:
    """Return which side of an image of three sides is its channels: the first if it is 1 or 3."""
    return 0 if shape[0] in (1, 3) else -1


def arrays(probe: Probe) -> dict[str, Floats]:
    """Return x and x_hat ``(rows, *shape)``, the latents and noise ``(rows, k)`` or in their shape.

    u stands under ``z_log_var``, and under the role that ``spread`` names; the other ones follow.
    """
    x, x_hat = images(probe)
    z_mean, u = latents(probe)
    noise = np.random.default_rng([_SEED, 3, probe.seed]).standard_normal(z_mean.shape)
    shape = (probe.rows, *probe.shape)
    latent = (probe.rows, *(probe.latent_shape or (probe.k,)))
    with np.errstate(all="ignore"):
        std = {"z_std": u, "z_var": np.sqrt(np.abs(u))}.get(probe.spread, np.exp(u / 2))
    each = {"z_mean": z_mean, "z_log_var": u, "z_std": std, "z_var": std**2, "noise": noise}
    each[probe.spread] = u
    return {
        "x": x.reshape(shape),
        "x_hat": x_hat.reshape(shape),
        **{role: array.reshape(latent) for role, array in each.items()},
    }


def images(probe: Probe) -> tuple[Floats, Floats]:
    """Return x and x_hat ``(rows, d)``, to be read only: most probes move the latents alone."""
    size = (probe.rows, probe.d)
    how = (probe.x, probe.x_hat, probe.level, probe.x_step)
    return _images(size, *how, probe.patch, probe.image_draw)


@functools.lru_cache(maxsize=2)
def _images(
    size: tuple[int, int],
    kind: str,
    kind_hat: str,
    level: float,
    x_step: float,
    patch: Patch | None,
    image_draw: int,
) -> tuple[Floats, Floats]:
    x = np.random.default_rng([_SEED, 0]).uniform(0.2, 0.8, size)
    if kind == "binary":
        x = (x > 0.5).astype(np.float64)
    draws = np.random.default_rng([_SEED, 1, image_draw])
    match kind_hat:
        case "equal" | "saturated":
            x_hat = x.copy()
        case "opposite":
            x_hat = 1 - x
        case "near":
            x_hat = np.where(x > 0.5, 1 - _NEAR, _NEAR)
        case "near_logits" | "far":
            logit = _NEAR_LOGIT if kind_hat == "near_logits" else _FAR_LOGIT
            x_hat = np.where(x > 0.5, logit, -logit)
        case "off":
            x_hat = x + level * np.where(draws.random(size) < 0.5, -1.0, 1.0)
        case "level":
            x_hat = level + draws.uniform(-0.05, 0.05, size)
    if patch is not None:
        x_hat[_inside(patch, size)] = 1 - level
    if x_step:
        x = x + x_step * np.where(draws.random(size) < 0.5, -1.0, 1.0)
    x.flags.writeable = x_hat.flags.writeable = False
    return x, x_hat


def latents(probe: Probe) -> tuple[Floats, Floats]:
    """Return z_mean and u ``(rows, k)``."""
    size = (probe.rows, probe.k)
    draws = np.random.default_rng([_SEED, 2, probe.latent_draw])
    if probe.pattern in ("even", "signed"):
        z_mean, u = np.full(size, probe.mean), np.full(size, probe.low)
        if probe.pattern == "signed":
            z_mean[1::2] *= -1
    else:
        signs = np.where(
            np.random.default_rng([_SEED, 4, probe.latent_draw]).random(size) < 0.5,
            -1.0,
            1.0,
        )
        z_mean = probe.mean * signs * draws.uniform(0.7, 1.3, size)
        u = draws.uniform(0, 1, size) * (probe.high - probe.low) + probe.low
        if probe.pattern == "uneven":
            z_mean *= 10.0 ** draws.integers(-1, 2, (probe.rows, 1))
            z_mean *= 10.0 ** draws.integers(-1, 1, (1, probe.k))
    if probe.alike:
        z_mean, u = (np.repeat(array[:1], probe.rows, axis=0) for array in (z_mean, u))
    if probe.latent_patch is not None:
        outside = ~_inside(probe.latent_patch, size)
        z_mean[outside], u[outside] = 0.0, probe.still
    return z_mean, u


def _inside(patch: Patch, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where in an array of that size the patch lies."""
    inside = np.zeros(size, dtype=bool)
    row, column = (slice(None) if place == EVERY else place for place in patch)
    inside[row, column] = True
    return inside
