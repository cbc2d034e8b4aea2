"""A loss convention: how a loss reduces and weighs its two terms.

Every loss here is ``a*R + b*K``, with R the reconstruction term summed over the d inputs and
K = KL(q(z|x) || N(0, I)) summed over the k latents, both averaged over images. ``b / a`` is
``beta_eff`` and decides the optimum; ``a`` only sets the step scale.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from lossbench.conventions.formula import evaluate, exact
from lossbench.errors import UsageError, nearest

Reduction = Literal["sum", "mean"]


@dataclass(frozen=True)
class Sizes:
    """The sizes that a convention's factors may depend on.

    ``d`` inputs, ``k`` latents, ``batch_size`` (B) and ``n_images`` (N) in the training split.
    """

    d: int
    k: int
    batch_size: int | None = None
    n_images: int | None = None

    def symbols(self) -> dict[str, int]:
        """Return the known sizes under the letters of a formula."""
        letters = {"d": self.d, "k": self.k, "B": self.batch_size, "N": self.n_images}
        return {letter: size for letter, size in letters.items() if size is not None}


@dataclass(frozen=True)
class Coefficients:
    """The trained objective ``a*R + b*K``, exactly."""

    a: Fraction
    b: Fraction

    @property
    def beta_eff(self) -> Fraction:
        """The weight of K relative to R, which decides the optimum."""
        return self.b / self.a


@dataclass(frozen=True)
class Convention:
    """How a loss reduces its terms and what it multiplies them by.

    The factors are formulas in d, k, B, N and beta; ``default_beta`` stands for beta in them,
    and the weight of a sweep multiplies the resulting b.

    >>> blog = CONVENTIONS["blog"]
    >>> float(blog.coefficients(Sizes(d=784, k=2), beta=1).beta_eff)
    392.0
    >>> float(blog.beta(392.0, Sizes(d=784, k=2)))
    1.0
    """

    name: str
    title: str
    over_inputs: Reduction
    over_latents: Reduction
    over_batch: Reduction = "mean"
    reconstruction_factor: str = "1"
    kl_factor: str = "1"
    default_beta: float = 1.0

    def coefficients(self, sizes: Sizes, beta: float | Fraction) -> Coefficients:
        """Return a and b at these sizes with ``beta`` times the convention's own weight."""
        symbols = sizes.symbols() | {"beta": exact(self.default_beta)}
        batch = Fraction(1)
        if self.over_batch == "sum":
            batch = evaluate("B", symbols)
        a = evaluate(self.reconstruction_factor, symbols) * batch
        b = evaluate(self.kl_factor, symbols) * batch
        if self.over_inputs == "mean":
            a /= sizes.d
        if self.over_latents == "mean":
            b /= sizes.k
        return Coefficients(a=a, b=b * exact(beta))

    def beta(self, beta_eff: float | Fraction, sizes: Sizes) -> Fraction:
        """Return the weight at which this convention has the given ``beta_eff``."""
        return exact(beta_eff) / self.coefficients(sizes, 1).beta_eff


CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention(
            name="blog",
            title="the Keras blog: mean over pixels plus mean over latents",
            over_inputs="mean",
            over_latents="mean",
        ),
        Convention(
            name="docs",
            title="the Keras documentation: original_dim times the mean, plus the summed KL",
            over_inputs="mean",
            reconstruction_factor="d",
            over_latents="sum",
        ),
    )
}


def convention(name: str) -> Convention:
    """Return the convention of that name; ``UsageError`` names the nearest one."""
    try:
        return CONVENTIONS[name]
    except KeyError:
        raise UsageError(
            f"no loss is called {name!r}",
            expected=f"one of {', '.join(CONVENTIONS)}",
            received=repr(name),
            remedy=nearest(name, CONVENTIONS),
        ) from None
