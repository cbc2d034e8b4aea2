"""The form of the KL term: with a floor under it, around a capacity, in closed form or sampled.

``a*R + b*w*F`` is trained, and F is K unless a floor or a capacity says otherwise. The form is
compiled in; its number, ``bound``, is an input.
"""

import functools
import math
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args

from lossbench.errors import UsageError
from lossbench.loss.formula import canonical
from lossbench.loss.schedule import Length, Linear
from lossbench.words import setting, significant

if TYPE_CHECKING:  # the algebra is printed without NumPy, which takes as long to load as the rest
    import numpy as np
    from numpy.typing import NDArray

Over = Literal["latent", "latent_example", "total", "total_example"]
Estimator = Literal["closed", "sample"]
FLOORS: tuple[Over, ...] = get_args(Over)
_COUNTED: dict[Over, str] = {
    "latent": "the KL of each latent, a mean over the batch,",
    "latent_example": "the KL of each latent in each example",
    "total": "the KL, a mean over the batch,",
    "total_example": "the KL of each example",
}
SAMPLED = "log q - log p at the z that is decoded: the mean of the closed form, and more noise"
_LARGEST = 1e12


@dataclass(frozen=True)
class KLForm:
    """F, a function of K_ij, that of latent j for example i, and of one number, the bound.

    ==================  ====================================
    plain               ``mean_i sum_j K_ij``, no bound: K
    ``latent``          ``sum_j max(f, mean_i K_ij)``
    ``latent_example``  ``mean_i sum_j max(f, K_ij)``
    ``total``           ``max(f, mean_i sum_j K_ij)``
    ``total_example``   ``mean_i max(f, sum_j K_ij)``
    ``capacity``        ``|mean_i sum_j K_ij - C|``
    ==================  ====================================

    Free bits f: Kingma et al. 2016, arXiv:1606.04934, appendix C8. Capacity C: Burgess et al. 2018,
    arXiv:1804.03599, equation 8. ``estimator`` is ``sample`` where K_ij is log q - log p at the one
    z that is decoded, not its mean over all z.

    >>> import numpy as np
    >>> parts = np.array([[0.0, 3.0], [2.0, 1.0]])
    >>> bounded = [KLForm(name).value(parts, 1.5, np) for name in (*FLOORS, "capacity")]
    >>> [float(value) for value in bounded]
    [3.5, 4.0, 3.0, 3.0, 1.5]
    """

    bounded: Over | Literal["", "capacity"] = ""
    estimator: Estimator = "closed"

    @property
    def is_plain(self) -> bool:
        """Whether F is K in closed form."""
        return self == KLForm()

    @property
    def is_bounded(self) -> bool:
        """Whether there is a floor or a capacity, so that the collapsed solution is no optimum."""
        return bool(self.bounded)

    @property
    def is_of_each(self) -> bool:
        """Whether every latent has a floor of its own."""
        return self.bounded in ("latent", "latent_example")

    @property
    def is_of_means(self) -> bool:
        """Whether F follows from K, so that the optimum is that of a constant weight."""
        return self.bounded in ("", "total", "capacity")

    def of_examples(self, parts: Any, bound: Any, xp: ModuleType) -> Any:
        """Return what is averaged over examples, of ``parts (..., examples, latents)``.

        ``bound (...)``; ``xp`` is NumPy or another module with its functions. The result is
        ``(..., examples, m)`` with m the latents for ``latent``, else 1.
        """
        if self.bounded == "latent":
            return parts
        if self.bounded == "latent_example":
            parts = xp.maximum(parts, _lengthened(bound, 2, xp))
        total = xp.sum(parts, axis=-1, keepdims=True)
        if self.bounded == "total_example":
            return xp.maximum(total, _lengthened(bound, 2, xp))
        return total

    def of_means(self, means: Any, bound: Any, xp: ModuleType) -> Any:
        """Return F ``(...)``, of the means ``(..., m)`` of what ``of_examples`` returns."""
        if self.bounded in ("latent", "total"):
            means = xp.maximum(means, _lengthened(bound, 1, xp))
        elif self.bounded == "capacity":
            means = xp.abs(means - _lengthened(bound, 1, xp))
        return xp.sum(means, axis=-1)

    def value(self, parts: Any, bound: Any, xp: ModuleType) -> Any:
        """Return F ``(...)`` of ``parts (..., examples, latents)`` at ``bound (...)``."""
        return self.of_means(xp.mean(self.of_examples(parts, bound, xp), axis=-2), bound, xp)

    def free(self, bound: float, k: int) -> float:
        """Return how many nats of k latents cost nothing, at a bound: K is no less in the end."""
        return bound * k if self.is_of_each else bound


def floor_told(nats: float, over: Over) -> str:
    """Return what a floor does, in words.

    >>> floor_told(0.5, "total_example")
    'the KL of each example counts as at least 0.5 nats'
    """
    return f"{_COUNTED[over]} counts as at least {significant(nats)} nats"


def _lengthened(bound: Any, n_axes: int, xp: ModuleType) -> Any:
    return xp.reshape(bound, (*xp.shape(bound), *[1] * n_axes))


@dataclass(frozen=True)
class Capacity:
    """C at step t: ``target`` nats, or C(t) = target * p(t), which rises over ``length`` to it.

    p(t) is that of ``linear:F``: 0 at the first step, 1 after the fraction F of the steps.
    """

    target: float
    length: Length | None = None

    def __str__(self) -> str:
        """Return the one spelling that it has in a setting; ``capacity`` gives it back."""
        rise = "" if self.length is None else f":{self.length}"
        return f"{setting(self.target)}{rise}"

    def at(
        self, steps: "NDArray[np.int64]", n_steps: int, steps_an_epoch: int
    ) -> "NDArray[np.floating[Any]]":
        """Return C at these steps of ``n_steps`` (T), of which an epoch has ``steps_an_epoch``."""
        if self.length is None:
            return 0.0 * steps + self.target
        return self.target * Linear(self.length).at(steps, n_steps, steps_an_epoch)

    def last(self, n_steps: int, steps_an_epoch: int) -> float:
        """Return C at the last step."""
        if self.length is None:
            return self.target
        return self.target * Linear(self.length).last_weight(n_steps, steps_an_epoch)

    def misfit(self, n_steps: int, steps_an_epoch: int) -> str:
        """Return why it does not fit into such a training, or nothing."""
        return Linear(self.length).misfit(n_steps, steps_an_epoch) if self.length else ""

    def remedy(self, n_steps: int) -> str:  # noqa: ARG002 - that of a schedule depends on it
        """Return what mends a misfit."""
        return "a longer training, or a fraction of it, as in 25:0.5"

    def told(self, n_steps: int, steps_an_epoch: int) -> str:
        """Return what C does, and what it is at the last step of such a training, in words.

        >>> capacity("25:0.5").told(100, 10)
        '25:0.5: from 0 to 25 nats over the first 50% of training; 25 at the last step'
        """
        end, last = significant(self.target), self.last(n_steps, steps_an_epoch)
        if self.length is None:
            return f"{self}: {end} nats from the first step to the last"
        never = "" if last == self.target else f", so never {end}"
        stairs = ", one value an epoch" if self.length.unit == "epochs" else ""
        return (
            f"{self}: from 0 to {end} nats over {self.length.words}{stairs}; "
            f"{significant(last)} at the last step{never}"
        )


@functools.lru_cache(maxsize=256)
def capacity(text: str) -> Capacity:
    """Return the capacity that a setting spells: ``25``, ``25:0.5``, ``25:400epochs``.

    ``UsageError`` says what was expected.
    """
    where = f"the capacity {text!r}"
    nats, colon, length = text.partition(":")
    try:
        target = canonical(float(nats))
    except ValueError:
        target = math.nan
    if not 0 <= target < _LARGEST:
        raise UsageError(
            "the capacity has nats that it cannot have",
            where=where,
            expected="a number of at least 0, below 1e12, such as 25, or 25:0.5, which rises to it "
            "over half of training",
            received=repr(text),
        )
    rise = Length.parse(length, where) if colon else None
    return Capacity(target, rise if target else None)
