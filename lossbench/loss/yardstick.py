"""The yardstick: what R and K are worth in nats, whatever objective was trained.

R is the reconstruction term summed over the d inputs, K the KL summed over the latents, both
in nats per image (for ``mse`` R is the sum of squared errors).
"""

import math
from typing import Literal

ReconstructionLoss = Literal["bce", "mse"]


def elbo(reconstruction: float, kl: float, d: int, kind: ReconstructionLoss) -> float:
    """Return the ELBO in nats per image.

    ``bce``: ``-(R + K)``. ``mse``: ``-(R + (d/2) ln(pi) + K)``, the density of a Gaussian
    decoder with variance 1/2, which is the decoder that the documentation's loss implies.
    """
    constant = 0.5 * d * math.log(math.pi) if kind == "mse" else 0.0
    return -(reconstruction + constant + kl)


def bits_per_dim(elbo: float, d: int) -> float:
    """Return ``-elbo / (d ln 2)``."""
    return -elbo / (d * math.log(2))


def elbo_best_sigma(reconstruction: float, kl: float, d: int, kind: ReconstructionLoss) -> float:
    """Return the ELBO under the decoder variance that suits the run best, R/d for ``mse``.

    ``-((d/2)(1 + ln(2 pi R/d)) + K)``; for ``bce`` there is no variance: equal to ``elbo``.
    """
    if kind == "bce":
        return elbo(reconstruction, kl, d, kind)
    if not reconstruction > 0:
        return math.nan
    return -(0.5 * d * (1 + math.log(2 * math.pi * reconstruction / d)) + kl)


def implied_sigma(beta_eff: float) -> float:
    """Return the decoder's standard deviation that ``R + beta_eff*K`` implies for ``mse``.

    sigma^2 = beta_eff / 2: dividing ``SSE/(2 sigma^2) + K`` by ``1/(2 sigma^2)`` leaves
    ``SSE + 2 sigma^2 K``.

    >>> implied_sigma(392)
    14.0
    """
    return math.sqrt(beta_eff / 2)
