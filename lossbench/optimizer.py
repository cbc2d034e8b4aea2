"""The optimizers of a run: one record each, from the setting's name to Keras' class."""

from dataclasses import dataclass
from typing import Literal

from lossbench.words import joined

OptimizerName = Literal["adam", "adamw", "rmsprop", "sgd"]


@dataclass(frozen=True)
class Optimizer:
    """What a run needs to know of one; ``title`` is Keras' name of it.

    ``feels_factor`` is whether a factor on the whole objective changes its steps: one that divides
    by the root of the mean squared gradient does not feel it but for its epsilon. ``decays``
    is whether it pulls the weights to zero beside the objective.
    """

    title: str
    feels_factor: bool = False
    decays: bool = False

    @property
    def has_epsilon(self) -> bool:
        """Whether epsilon is a setting of it."""
        return not self.feels_factor


OPTIMIZERS: dict[str, Optimizer] = {
    "adam": Optimizer("Adam"),
    "adamw": Optimizer("AdamW", decays=True),
    "rmsprop": Optimizer("RMSprop"),
    "sgd": Optimizer("SGD", feels_factor=True),
}
FEELS_NO_FACTOR = {n: each.title for n, each in OPTIMIZERS.items() if not each.feels_factor}
OPTIMIZER_NAMES = joined(OPTIMIZERS, "or")
HAVE_EPSILON = joined(n for n, each in OPTIMIZERS.items() if each.has_epsilon)
