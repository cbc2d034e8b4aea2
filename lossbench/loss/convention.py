"""A loss convention: how a loss reduces and weighs its two terms.

Every loss here is ``a*R + b*K``, with R the reconstruction term summed over the d inputs and
K = KL(q(z|x) || N(0, I)) summed over the k latents, both averaged over images. ``b / a`` is
``beta_eff`` and decides the optimum; ``a`` only sets the step scale.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from lossbench.errors import UsageError
from lossbench.loss.formula import evaluate, exact
from lossbench.loss.objective import FORM, Objective
from lossbench.words import significant

Reduction = Literal["sum", "mean"]

_LARGEST = Fraction(10) ** 30  # well inside float32, which the objective is trained in


@dataclass(frozen=True)
class Sizes:
    """The sizes that a convention's factors may depend on; ``None`` is not known.

    ``d`` inputs, ``k`` latents, ``batch_size`` (B) and ``n_images`` (N) in the training split.
    """

    d: int | None = None
    k: int | None = None
    batch_size: int | None = None
    n_images: int | None = None

    def symbols(self) -> dict[str, int]:
        """Return the known sizes under the letters of a formula."""
        letters = {"d": self.d, "k": self.k, "B": self.batch_size, "N": self.n_images}
        return {letter: size for letter, size in letters.items() if size is not None}


@dataclass(frozen=True)
class Convention:
    """How a loss reduces its terms and what it multiplies them by.

    The factors are formulas in d, k, B, N and beta; ``default_beta`` stands for beta in them,
    and the weight of a sweep multiplies the resulting b.

    >>> blog = Convention("blog", "mean plus mean", over_inputs="mean", over_latents="mean")
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
    default_beta: float | Fraction = 1.0

    def coefficients(self, sizes: Sizes, beta: float | Fraction) -> Objective[Fraction]:
        """Return a and b at these sizes with ``beta`` times the convention's own weight.

        ``UsageError`` says which size a formula lacks, or why a and b are no objective.
        """
        symbols = sizes.symbols() | {"beta": exact(self.default_beta)}
        a = self._evaluated("reconstruction_factor", symbols)
        b = self._evaluated("kl_factor", symbols) * exact(beta)
        if self.over_inputs == "mean":
            a /= self._evaluated("over_inputs", symbols, "d")
        if self.over_latents == "mean":
            b /= self._evaluated("over_latents", symbols, "k")
        if self.over_batch == "sum":
            batch_size = self._evaluated("over_batch", symbols, "B")
            a, b = a * batch_size, b * batch_size
        if not (1 / _LARGEST <= a <= _LARGEST and 0 <= b <= _LARGEST):
            raise UsageError(
                "the loss has coefficients that cannot be trained",
                where=f"loss {self.name}",
                expected=f"{FORM} with a above 0 and b at least 0, both below 1e30",
                received=f"a = {significant(a)} and b = {significant(b)} at "
                + ", ".join(f"{name} = {significant(Fraction(x))}" for name, x in symbols.items()),
            )
        return Objective(a=a, b=b)

    def beta(self, beta_eff: float | Fraction, sizes: Sizes) -> Fraction:
        """Return the weight at which this convention has the given ``beta_eff``.

        ``UsageError`` if the convention has no KL term, whatever its weight.
        """
        wanted = exact(beta_eff)
        unit = self.coefficients(sizes, 1).beta_eff
        if wanted and not unit:
            raise UsageError(
                f"no beta gives {self.name} that beta_eff: it has no KL term",
                where=f"loss {self.name}",
                expected="beta_eff = 0",
                received=f"beta_eff = {significant(wanted)}",
            )
        return wanted / unit if unit else Fraction(1)

    def _evaluated(
        self, field: str, symbols: Mapping[str, Fraction | int | float], formula: str = ""
    ) -> Fraction:
        """Return the value of a field's formula; its errors say whose formula it is."""
        try:
            return evaluate(formula or getattr(self, field), symbols)
        except UsageError as error:
            raise UsageError(
                error.problem,
                where=f"{field} of loss {self.name}, {error.where}",
                expected=error.expected,
                received=error.received,
            ) from None
