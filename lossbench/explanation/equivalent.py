"""The equal setting elsewhere: what has the same optimum, and trains the same way.

Elsewhere is another convention, another likelihood, or data on another scale.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction

from lossbench.errors import UsageError
from lossbench.explanation.derivation import KIND_OF
from lossbench.explanation.listing import coefficient_facts
from lossbench.loss import (
    LIKELIHOODS,
    Entry,
    Gaussian,
    Laplace,
    Likelihood,
    Objective,
    Sizes,
    convention,
    entry,
    likelihood,
)
from lossbench.words import Told, joined, setting, significant

KERAS_ADAM_EPSILON = Fraction(1, 10**7)
DataRange = tuple[float, float]
_UNIT: DataRange = (0.0, 1.0)
_LARGEST = 1e12  # of an edge of the data, or of sigma
_SCALABLE = tuple(name for name, each in LIKELIHOODS.items() if each.error_power)


@dataclass(frozen=True)
class Decoded:
    """What a side takes for the data: a likelihood, and from where to where the data reach."""

    likelihood: Likelihood
    data_range: DataRange

    @property
    def sigma(self) -> float | None:
        """The scale of the decoder; None where it has none."""
        each = self.likelihood
        if isinstance(each, Gaussian):
            return each.number
        return each.sigma if isinstance(each, Laplace) else None

    @property
    def words(self) -> str:
        """The likelihood and its sigma."""
        sigma = "" if self.sigma is None else f" (sigma {significant(self.sigma)})"
        return f"{self.likelihood.name}{sigma}"

    @property
    def reach(self) -> str:
        """From where to where the data reach."""
        low, high = map(significant, self.data_range)
        return f"{low} to {high}"

    def facts(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {
            "reconstruction_loss": self.likelihood.name,
            "sigma": self.sigma,
            "data_range": self.data_range,
        }


@dataclass(frozen=True)
class Decoding:
    """Two sides whose R are a multiple of each other, but for a constant.

    ``ratio`` is R of the other over R of this one; ``stretch`` is how many times as wide its data
    are.
    """

    here: Decoded
    there: Decoded
    stretch: Fraction
    ratio: Fraction

    @property
    def has_constant(self) -> bool:
        """Whether R of one side has a constant that the other lacks."""
        return self.here.sigma != self.there.sigma

    @property
    def error_ratio(self) -> Fraction:
        """How many times as large the errors are that R sums."""
        return self.stretch**self.here.likelihood.error_power

    def formulas(self, beta_eff: Fraction) -> tuple[str, ...]:
        """Return what changes, a line each; ``beta_eff`` is that of this side."""
        lines = []
        here, there = self.here, self.there
        if self.stretch != 1:
            error = "(x - x_hat)^2" if here.likelihood.error_power == 2 else "|x - x_hat|"
            lines.append(
                f"{error} on data from {there.reach} is {significant(self.error_ratio)} times that "
                f"on data from {here.reach}"
            )
        if here.likelihood.name != there.likelihood.name:
            sides = ((here, beta_eff), (there, beta_eff * self.ratio))
            [(gaussian, weight)] = [side for side in sides if side[0].sigma is not None]
            sigma = significant(gaussian.sigma or 0)
            as_mse = weight / gaussian.likelihood.error_factor
            lines.append(
                f"beta_eff(mse) = 2*sigma^2 * beta_eff(gaussian) = 2*{sigma}^2 * "
                f"{significant(weight)} = {significant(as_mse)}"
            )
        return tuple(lines)


@dataclass(frozen=True)
class Equivalent(Told):
    """``other`` at ``other_beta`` trains ``scale`` times the objective of ``loss`` at ``beta``.

    ``row`` and ``other_row`` are what is known of their codes.

    With a ``decoding`` the two have other likelihoods or data too, and a constant stands between
    their objectives; beta_eff, and the thresholds with it, are then ``decoding.ratio`` as large.

    A loss times c has gradients times c. SGD (with momentum, too) makes the same steps with
    its learning rate divided by c. Adam adds epsilon to the root of the mean squared gradient, so
    it makes the same steps with epsilon times c and the same learning rate. Keras' RMSprop adds
    epsilon under the root: there it is epsilon times c^2.
    """

    loss: str
    beta: Fraction
    other: str
    other_beta: Fraction
    sizes: Sizes
    coefficients: Objective[Fraction]
    other_coefficients: Objective[Fraction]
    row: Entry = field(repr=False)
    other_row: Entry = field(repr=False)
    decoding: Decoding | None = None

    @property
    def beta_eff(self) -> Fraction:
        """The effective weight of ``loss``; without a ``decoding`` that of both."""
        return self.coefficients.beta_eff

    @property
    def scale(self) -> Fraction:
        """The factor c between the objectives: ``a`` over ``a``, times the ratio of the R."""
        ratio = self.decoding.ratio if self.decoding else 1
        return self.other_coefficients.a / self.coefficients.a * ratio

    @property
    def sgd_learning_rate_factor(self) -> Fraction:
        """What to multiply SGD's learning rate by: 1/c."""
        return 1 / self.scale

    @property
    def adam_epsilon_factor(self) -> Fraction:
        """What to multiply Adam's epsilon by: c."""
        return self.scale

    @property
    def adam_epsilon(self) -> Fraction:
        """The epsilon for Adam that equals Keras' default of 1e-7 in this convention."""
        return KERAS_ADAM_EPSILON * self.scale

    def facts(self) -> dict[str, object]:
        """Return the equal setting as JSON has it, with the factors that make the runs the same."""
        here: dict[str, object] = {"loss": self.loss, "beta": self.beta}
        there: dict[str, object] = {"loss": self.other, "beta": self.other_beta}
        if self.decoding is not None:
            here |= self.decoding.here.facts()
            there |= self.decoding.there.facts()
        return {
            **asdict(self.sizes),
            "from": here | coefficient_facts(self.coefficients),
            "to": there | coefficient_facts(self.other_coefficients),
            "scale": self.scale,
            "sgd_learning_rate_factor": self.sgd_learning_rate_factor,
            "adam_epsilon_factor": self.adam_epsilon_factor,
            "adam_epsilon": self.adam_epsilon,
            "rmsprop_epsilon_factor": self.rmsprop_epsilon_factor,
            "cautions": self.cautions,
        }

    @property
    def cautions(self) -> tuple[str, ...]:
        """What changes besides, and what the two published codes do, a sentence each."""
        here, there = self.row, self.other_row
        cautions = list(_cautions(self.decoding, self.other_beta)) if self.decoding else []
        if (published := Fraction(there.convention.default_beta)) != 1:
            cautions.append(
                f"beta multiplies the weight that {self.other} has by default: in its own code "
                f"this is a weight of {significant(self.other_beta * published)} in place of "
                f"{significant(published)}."
            )
        if here.noise_std != there.noise_std:
            cautions.append(
                f"This is about the scaling. The codes also differ in their sampling noise: "
                f"times {setting(here.noise_std)} in {self.loss}, times {setting(there.noise_std)} "
                f"in {self.other}; a sweep trains both with the same noise."
            )
        for name, settings in {self.loss: here.own, self.other: there.own}.items():
            if settings:
                own = joined(f"{key} {text}" for key, text in settings.items())
                cautions.append(f"{name} has settings of its own besides: {own}.")
        return tuple(cautions)

    @property
    def rmsprop_epsilon_factor(self) -> Fraction:
        """What to multiply the epsilon of Keras' RMSprop by, which is under the root: c^2."""
        return self.scale**2


def _cautions(decoding: Decoding, other_beta: Fraction) -> Iterator[str]:
    here, there = decoding.here, decoding.there
    if decoding.stretch == 1:
        return
    if here.sigma is not None and there.sigma is not None:
        weight = significant(other_beta * decoding.error_ratio)
        yield (
            f"Sigma is stretched with the data. With a sigma of {significant(here.sigma)} there, "
            f"beta is {weight}."
        )
    yield (
        "x_hat is stretched with the data. A last layer that has to learn this takes other steps "
        "to the same optimum."
    )


def equivalent(
    loss: str | Entry,
    beta: Fraction,
    other: str | None,
    sizes: Sizes,
    *,
    reconstruction_loss: str | None = None,
    sigma: float | None = None,
    data_range: DataRange | None = None,
    to_data_range: DataRange | None = None,
) -> Equivalent:
    """Return the setting that equals ``loss`` at ``beta``, of ``other`` or on other data.

    ``other`` is a loss or a likelihood; what is not named stays. ``sigma`` is that of ``gaussian``
    or ``laplace``, on the first side that has one; where ``mse`` becomes ``gaussian`` without a
    sigma, it is the one with which beta_eff is 1. The ranges are those of the data, by default
    from 0 to 1, and the same.

    ``UsageError`` if a name is not known or cannot be trained, if a size is missing, if the
    other has no KL term to weigh, or if no weight turns one likelihood into the other.

    >>> same = equivalent("blog", Fraction(1), "docs", Sizes(d=784, k=2))
    >>> int(same.other_beta), int(same.scale)
    (392, 784)
    >>> same = equivalent("docs", Fraction(1), "gaussian", Sizes(d=784, k=2), sigma=0.5)
    >>> int(same.other_beta)
    2
    """
    row = _trained(loss) if isinstance(loss, str) else loss
    other_kind = other if other in LIKELIHOODS else None
    other_row = row if other is None or other_kind else _trained(other)
    here, there = row.convention, other_row.convention
    coefficients = here.coefficients(sizes, beta)
    decoding = None
    if other_kind is None and to_data_range is None:
        _refuse_idle(there.name, reconstruction_loss, sigma, data_range)
    else:
        kind = _kind(row, reconstruction_loss)
        sides = likelihood(kind), likelihood(other_kind or kind)
        data = _checked(data_range or _UNIT, "--data-range")
        ranges = data, _checked(to_data_range or data, "--to-data-range")
        decoding = _decoding(sides, ranges, sigma, coefficients.beta_eff)
    other_beta_eff = coefficients.beta_eff * (decoding.ratio if decoding else 1)
    other_beta = there.beta(other_beta_eff, sizes)
    return Equivalent(
        loss=here.name,
        beta=beta,
        other=there.name,
        other_beta=other_beta,
        sizes=sizes,
        coefficients=coefficients,
        other_coefficients=there.coefficients(sizes, other_beta),
        row=row,
        other_row=other_row,
        decoding=decoding,
    )


def _trained(loss: str) -> Entry:
    """Return a row of the catalogue; ``UsageError`` if no sweep can train it."""
    convention(loss)
    return entry(loss)


def _refuse_idle(
    other: str, reconstruction_loss: str | None, sigma: float | None, data_range: DataRange | None
) -> None:
    """Refuse what changes nothing between two conventions."""
    idle = {
        "--reconstruction-loss": reconstruction_loss,
        "--sigma": sigma,
        "--data-range": data_range,
    }
    for option, given in idle.items():
        if given is not None:
            raise UsageError(
                f"what equals it in {other} is the same for every likelihood and all data",
                where=option,
                expected="no such option, or --to with a likelihood, or --to-data-range",
                received=f"{given} beside {other}",
            )


def _kind(row: Entry, asked: str | None) -> str:
    """Return the likelihood that is converted: by default that of the loss's own code.

    That of ``blog`` and ``docs`` is mse, since either is.
    """
    name = asked or ("mse" if row.lineage == "seed" else row.reconstruction)
    kind = KIND_OF.get(name, name)
    if kind not in LIKELIHOODS or (asked is None and not LIKELIHOODS[kind].error_power):
        raise UsageError(
            f"{row.name} has {name} for the reconstruction, and no weight turns that into another",
            where="--reconstruction-loss",
            expected=joined(_SCALABLE, "or"),
            received=name,
            remedy=f"--reconstruction-loss mse, if this is what you train with {row.name}",
        )
    return kind


def _checked(data_range: DataRange, option: str) -> DataRange:
    low, high = data_range
    if not (-_LARGEST <= low < high <= _LARGEST):
        raise UsageError(
            "data have a smallest and a larger largest value",
            where=option,
            expected="two numbers, such as -1,1",
            received=f"{setting(float(low))},{setting(float(high))}",
        )
    return float(low), float(high)


def _decoding(
    sides: tuple[Likelihood, Likelihood],
    ranges: tuple[DataRange, DataRange],
    sigma: float | None,
    beta_eff: Fraction,
) -> Decoding:
    """Return how R of the first side turns into that of the second."""
    here, there = sides
    if here.error_power != there.error_power or not here.error_power:
        raise UsageError(
            f"no weight turns {here.name} into {there.name}",
            expected=f"mse and gaussian into each other; {joined(_SCALABLE, 'or')} on other data",
            received=f"{here.name} to {there.name}",
        )
    if sigma is not None and "sigma" not in (*here.parameters, *there.parameters):
        raise UsageError(
            "neither side has a sigma",
            where="--sigma",
            expected="a conversion of gaussian or laplace",
            received=f"{here.name} to {there.name}",
            remedy="--to gaussian",
        )
    if sigma is not None and not 1 / _LARGEST <= sigma <= _LARGEST:
        raise UsageError(
            "`sigma` has a value that it cannot take",
            where="--sigma",
            expected="a number above 0",
            received=setting(float(sigma)),
        )
    widths = [Fraction(repr(high)) - Fraction(repr(low)) for low, high in ranges]
    stretch = widths[1] / widths[0]
    errors = stretch**here.error_power
    if isinstance(here, Gaussian | Laplace):
        here = replace(here, sigma=1.0 if sigma is None else float(sigma))
    ratio = errors / here.error_factor
    own = Decoded(here, ranges[0]).sigma
    if own is not None and isinstance(there, Gaussian | Laplace):
        there = replace(there, sigma=own * float(stretch))
        ratio = Fraction(1)
    elif isinstance(there, Gaussian) and sigma is not None:
        there = replace(there, sigma=float(sigma))
        ratio *= there.error_factor
    elif isinstance(there, Gaussian):
        implied = here.implied_sigma(float(beta_eff)) or math.nan
        if beta_eff == 0:
            raise UsageError(
                "without a weight on the KL every sigma is as good",
                where="--sigma",
                expected="a number above 0",
                received="none, at beta 0",
            )
        there = replace(there, sigma=implied * float(stretch))
        ratio = 1 / beta_eff
    return Decoding(Decoded(here, ranges[0]), Decoded(there, ranges[1]), stretch, ratio)
