"""The equal setting in another convention: what has the same optimum, and trains the same way."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction

from lossbench.explanation.listing import coefficient_facts
from lossbench.loss import Entry, Objective, Sizes, convention, entry
from lossbench.words import Told, joined, setting, significant

KERAS_ADAM_EPSILON = Fraction(1, 10**7)


@dataclass(frozen=True)
class Equivalent(Told):
    """``other`` at ``other_beta`` trains ``scale`` times the objective of ``loss`` at ``beta``.

    ``noise_std`` multiplies the sampling noise of the code of ``loss``, and ``own`` are the other
    settings that it brings with it.

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
    noise_std: float = 1.0
    own: Mapping[str, str] = field(default_factory=dict)

    @property
    def beta_eff(self) -> Fraction:
        """The effective weight that both have."""
        return self.coefficients.beta_eff

    @property
    def scale(self) -> Fraction:
        """The factor c between the objectives, ``a`` of the other over ``a`` of this one."""
        return self.other_coefficients.a / self.coefficients.a

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
        here, there = self.coefficients, self.other_coefficients
        return {
            **asdict(self.sizes),
            "from": {"loss": self.loss, "beta": self.beta, **coefficient_facts(here)},
            "to": {"loss": self.other, "beta": self.other_beta, **coefficient_facts(there)},
            "scale": self.scale,
            "sgd_learning_rate_factor": self.sgd_learning_rate_factor,
            "adam_epsilon_factor": self.adam_epsilon_factor,
            "adam_epsilon": self.adam_epsilon,
            "rmsprop_epsilon_factor": self.rmsprop_epsilon_factor,
            "cautions": self.cautions,
        }

    @property
    def cautions(self) -> tuple[str, ...]:
        """What the two published codes do besides, a sentence each."""
        there = entry(self.other)
        cautions = []
        if (published := Fraction(there.convention.default_beta)) != 1:
            cautions.append(
                f"beta multiplies the weight that {self.other} has by default: in its own code "
                f"this is a weight of {significant(self.other_beta * published)} in place of "
                f"{significant(published)}."
            )
        if self.noise_std != there.noise_std:
            cautions.append(
                f"This is about the scaling. The codes also differ in their sampling noise: "
                f"times {setting(self.noise_std)} in {self.loss}, times {setting(there.noise_std)} "
                f"in {self.other}; a sweep trains both with the same noise."
            )
        for name, settings in ((self.loss, self.own), (self.other, there.own)):
            if settings:
                own = joined(f"{key} {text}" for key, text in settings.items())
                cautions.append(f"{name} has settings of its own besides: {own}.")
        return tuple(cautions)

    @property
    def rmsprop_epsilon_factor(self) -> Fraction:
        """What to multiply the epsilon of Keras' RMSprop by, which is under the root: c^2."""
        return self.scale**2


def equivalent(loss: str | Entry, beta: Fraction, other: str, sizes: Sizes) -> Equivalent:
    """Return the setting of ``other`` that equals ``loss`` at ``beta``.

    ``UsageError`` if a name is not known or cannot be trained, if a size is missing, or if the
    other has no KL term to weigh.

    >>> same = equivalent("blog", Fraction(1), "docs", Sizes(d=784, k=2))
    >>> int(same.other_beta), int(same.scale)
    (392, 784)
    """
    here = convention(loss) if isinstance(loss, str) else loss.convention
    there = convention(other)
    coefficients = here.coefficients(sizes, beta)
    other_beta = there.beta(coefficients.beta_eff, sizes)
    row = entry(loss) if isinstance(loss, str) else loss
    return Equivalent(
        loss=here.name,
        beta=beta,
        other=other,
        other_beta=other_beta,
        sizes=sizes,
        coefficients=coefficients,
        other_coefficients=there.coefficients(sizes, other_beta),
        noise_std=row.noise_std,
        own=row.own,
    )
