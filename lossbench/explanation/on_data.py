"""What a loss shows on a data set when its model learns nothing: the loss that it then logs."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lossbench import data, theory
from lossbench.errors import DataError
from lossbench.loss import LIKELIHOODS, Likelihood, Objective
from lossbench.words import significant


@dataclass(frozen=True)
class OnData:
    """A loss on a data set under one likelihood, where every image is given the mean.

    ``reconstruction_of_nothing`` is R_0, in nats an image of the training split; ``logged`` is
    ``a * R_0``, what the code's own loss then is, since its KL is 0. ``threshold`` is t_1, None
    where none is told; a constant weight ``collapses`` from there on. It ``is_as_it_is`` where the
    numbers are not scaled, since they do not lie in [0, 1].
    """

    dataset: str
    d: int
    reconstruction_loss: str
    reconstruction_of_nothing: float
    logged: float
    threshold: float | None
    collapses: bool | None
    is_as_it_is: bool = False

    @property
    def formula(self) -> str:
        """R_0 and what is logged, in a line."""
        nothing, an_input = (
            significant(x, 4)
            for x in (self.reconstruction_of_nothing, self.reconstruction_of_nothing / self.d)
        )
        as_it_is = " of the numbers as they are" * self.is_as_it_is
        return (
            f"{self.reconstruction_loss}{as_it_is}: R_0 = {nothing} nats, {an_input} an input; "
            f"a*R_0 = {significant(self.logged, 4)}"
        )

    def meaning(self, beta_eff: Fraction) -> str:
        """Return what that means, and whether it is where this weight ends."""
        told = (
            f"A loss that stays at {significant(self.logged, 4)} draws the mean image for "
            "everybody, with a KL of 0."
        )
        if not self.threshold:
            return told
        share = significant(float(beta_eff) / self.threshold, 3)
        ends = "a constant weight ends there" if self.collapses else "there is better to be found"
        return (
            f"{told} beta_eff is {share} of t_1 = {significant(self.threshold, 4)} "
            f"({self.reconstruction_loss}): {ends}."
        )


def on_data(
    dataset: str,
    d: int,
    reconstruction_losses: tuple[str, ...],
    coefficients: Objective[Fraction],
    data_dir: Path | None = None,
) -> tuple[OnData, ...]:
    """Return what an objective shows on a data set at d, for every likelihood that fits.

    ``DataError`` if the data is missing, cannot be had at d, or can have none of them.
    """
    found, refused = [], []
    for name in filter(LIKELIHOODS.__contains__, reconstruction_losses):
        try:
            found.append(_on_data(dataset, d, LIKELIHOODS[name], coefficients, data_dir))
        except DataError as error:
            refused.append(error)
    if refused and not found:
        raise refused[0]
    return tuple(found)


def _on_data(
    dataset: str,
    d: int,
    kind: Likelihood,
    coefficients: Objective[Fraction],
    data_dir: Path | None,
) -> OnData:
    loaded = data.load_or_as_it_is(dataset, d, data_dir, kind.scale("auto"))
    data.refuse_misfit(loaded, kind, loaded.scaling.scale, "identity")
    fitted = kind.fitted(loaded.train)
    t_1 = theory.collapse_threshold(theory.thresholds(theory.moments(loaded.train), fitted))
    nothing = theory.reconstruction_of_nothing(loaded.train, loaded.train, fitted)
    return OnData(
        *(dataset, d, kind.name, nothing, float(coefficients.a) * nothing, t_1),
        collapses=None if t_1 is None else float(coefficients.beta_eff) >= t_1,
        is_as_it_is=loaded.scaling.scale == "none" and kind.scale("auto") == "auto",
    )
