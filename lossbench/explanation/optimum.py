"""What an objective is after: it depends on beta_eff and the sizes, on no convention."""

from dataclasses import dataclass
from fractions import Fraction

from lossbench.explanation.symbols import number
from lossbench.loss import LIKELIHOODS

EITHER = "bce or mse"  # a loss that its users take with either, as the seed question writes it


@dataclass(frozen=True)
class Optimum:
    """What ``R + beta_eff*K`` is after.

    ``beta_norm`` is Higgins' normalised beta, ``beta_eff*k/d``; ``implied_sigma`` is the
    standard deviation of the pixel noise that a squared error implies, ``None`` for another
    reconstruction term; ``meaning`` is one sentence.
    """

    reconstruction_loss: str
    beta_eff: Fraction
    beta_norm: Fraction
    implied_sigma: float | None
    meaning: str


def optimum(beta_eff: Fraction, d: int, k: int, reconstruction_loss: str) -> Optimum:
    """Return what an objective with this ``beta_eff`` is after.

    >>> optimum(Fraction(392), 784, 2, "mse").implied_sigma
    14.0
    """
    beta_norm = beta_eff * k / d
    sigmas = {
        name: LIKELIHOODS[name].implied_sigma(float(beta_eff)) if name in LIKELIHOODS else None
        for name in reconstruction_loss.split(" or ")
    }
    with_sigma, sigma = next((pair for pair in sigmas.items() if pair[1] is not None), ("", None))
    return Optimum(
        reconstruction_loss=reconstruction_loss,
        beta_eff=beta_eff,
        beta_norm=beta_norm,
        implied_sigma=sigma,
        meaning=_meaning(beta_eff, beta_norm, sigma, with_sigma, others=None in sigmas.values()),
    )


def _meaning(
    beta_eff: Fraction, beta_norm: Fraction, sigma: float | None, with_sigma: str, *, others: bool
) -> str:
    """Return one sentence; ``others`` is whether a likelihood without a sigma is meant, too."""
    if beta_eff == 0:
        return (
            "The KL has no weight: it trains an autoencoder whose noise costs nothing to shrink, "
            "and nothing draws the codes to the prior."
        )
    norm = f"Higgins' beta_norm = beta_eff*k/d = {number(beta_norm)}"
    if beta_eff == 1:
        sentence = f"It trains the ELBO itself, a VAE with beta 1 ({norm})"
    else:
        sentence = f"It trains a beta-VAE with beta {number(beta_eff)} ({norm})"
    if others and beta_eff != 1:
        weight = number(beta_eff)
        sentence += f": a nat of KL has to save more than {weight} nats of reconstruction"
    if sigma is not None:
        decoder = f", and for {with_sigma} that of" if others and beta_eff == 1 else ":"
        decoder = f"; for {with_sigma} this is" if others and beta_eff != 1 else decoder
        sentence += (
            f"{decoder} a decoder that believes in pixel noise of sigma {number(sigma)} on a "
            "scale of 0 to 1"
        )
    return f"{sentence}."
