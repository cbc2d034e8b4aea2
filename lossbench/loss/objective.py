"""The objective that is trained: ``a*R + b*K``.

R is the reconstruction term summed over the d inputs, K = KL(q(z|x) || N(0, I)) summed over the
k latents, both averaged over images.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

FORM = "a*R + b*K"
Number = TypeVar("Number", float, Fraction)


@dataclass(frozen=True)
class Objective(Generic[Number]):
    """``a*R + b*K``, in floats or exactly."""

    a: Number
    b: Number

    @property
    def beta_eff(self) -> Number:
        """The weight of K relative to R, which decides the optimum; ``a`` sets the step scale."""
        return self.b / self.a

    def value(self, reconstruction: Number, kl: Number) -> Number:
        """Return the number that is trained, of R and K.

        >>> Objective(a=0.5, b=2.0).value(10.0, 3.0)
        11.0
        """
        return self.a * reconstruction + self.b * kl
