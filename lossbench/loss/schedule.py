"""Schedules: how the weight on K goes, step by step; each form is one class."""

import functools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from lossbench.errors import UsageError, did_you_mean
from lossbench.loss.formula import canonical, exact
from lossbench.words import counted, joined, setting, significant

if TYPE_CHECKING:  # the algebra is printed without NumPy, which takes as long to load as the rest
    import numpy as np
    from numpy.typing import NDArray

    Steps = NDArray[np.int64]
    Weights = NDArray[np.floating[Any]]

_COUNT = re.compile(r"([0-9]{1,12})(epochs|steps)")
_WHOLE = re.compile(r"[0-9]{1,12}")
_LARGEST_WEIGHT = 1e12
_SHORTEST_RISE = 1e-9  # of a step: whatever is less than a step is over at the second one
_SIGMOID_ENDS = 6.0


@dataclass(frozen=True)
class Length:
    """How long a part of training is: a fraction of its steps, or so many epochs or steps."""

    amount: Fraction
    unit: Literal["", "epochs", "steps"] = ""

    @classmethod
    def parse(cls, text: str, where: str) -> "Length":
        """Return what ``0.5``, ``400epochs`` or ``5000steps`` spell."""
        counted = _COUNT.fullmatch(text)
        if counted and int(counted[1]):
            return cls(Fraction(counted[1]), "epochs" if counted[2] == "epochs" else "steps")
        fraction = _number(text)
        if counted or not 0 < fraction <= 1:
            raise UsageError(
                "the schedule has a length that it cannot have",
                where=where,
                expected="a fraction of the steps, above 0 and at most 1, or a count of at least 1 "
                "as in 400epochs or 5000steps",
                received=repr(text),
            )
        return cls(exact(fraction))

    def __str__(self) -> str:
        """Return the one spelling that it has in a setting."""
        return f"{significant(self.amount, 12)}{self.unit}"

    @property
    def words(self) -> str:
        """The part of training in words."""
        if self.unit:
            first = "first" if self.amount == 1 else f"first {int(self.amount):,}"
            return f"the {first} {self.unit.removesuffix('s') if self.amount == 1 else self.unit}"
        if self.amount == 1:
            return "the whole of training"
        return f"the first {significant(100 * self.amount)}% of training"

    def of(self, total: int) -> Fraction:
        """Return the length where a fraction is one of ``total`` steps, in its own unit."""
        return self.amount if self.unit else self.amount * total

    def elapsed(self, steps: "Steps", steps_an_epoch: int) -> "Steps":
        """Return what has passed before each of the ``steps``, in its own unit."""
        return steps // steps_an_epoch if self.unit == "epochs" else steps


@dataclass(frozen=True)
class Schedule(ABC):
    """The factor w on the weight of K, step by step: step t of T trains ``a*R + b*w(t)*K``.

    t goes from 0 to T - 1, and an epoch has S steps. A length is a fraction F of the T steps, or
    n steps (``5000steps``), or n epochs (``400epochs``): then w is a staircase, one value an epoch.
    ``spelling`` is how a setting writes it, with F for a length or a part of a cycle, W0 for a
    weight and M for a number of cycles, in the order of the fields.
    """

    spelling: ClassVar[str]

    @classmethod
    def parse(cls, parts: Sequence[str], where: str) -> "Schedule":
        """Return the schedule of this form that ``parts`` spell."""
        names = [field.name for field in fields(cls)]
        if len(parts) != len(names):
            raise UsageError(
                f"the schedule has too {'many' if len(parts) > len(names) else 'few'} parts",
                where=where,
                expected=cls.spelling,
                received=":".join((cls.spelling.partition(":")[0], *parts)),
            )
        made: Callable[..., Schedule] = cls
        return made(*(_PARTS[name](part, where) for name, part in zip(names, parts, strict=True)))

    @abstractmethod
    def at(self, steps: "Steps", n_steps: int, steps_an_epoch: int) -> "Weights":
        """Return w at these steps of ``n_steps`` (T), of which an epoch has ``steps_an_epoch``."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What w does, in words."""

    def __str__(self) -> str:
        """Return the one spelling that it has in a setting; ``parse`` gives it back."""
        form, *_ = self.spelling.split(":")
        values = (getattr(self, field.name) for field in fields(self))
        return ":".join((form, *(setting(_plain(value)) for value in values)))

    def weights(self, n_steps: int, steps_an_epoch: int) -> "Weights":
        """Return w at every step of ``n_steps``: ``(n_steps,)``."""
        import numpy as np  # noqa: PLC0415

        return self.at(np.arange(n_steps), n_steps, steps_an_epoch)

    def last_weight(self, n_steps: int, steps_an_epoch: int) -> float:
        """Return w at the last step: what training ends with, held against the threshold."""
        import numpy as np  # noqa: PLC0415

        return float(self.at(np.array([n_steps - 1]), n_steps, steps_an_epoch)[0])

    def reaches_its_end(self, n_steps: int, steps_an_epoch: int) -> bool:
        """Return whether w is 1 at the last step, so that the objective itself was trained."""
        return self.last_weight(n_steps, steps_an_epoch) == 1

    def misfit(self, n_steps: int, steps_an_epoch: int) -> str:
        """Return why it does not fit into such a training, or nothing: what it is or has."""
        whole = {"": 1, "epochs": n_steps // steps_an_epoch, "steps": n_steps}
        lengths = (part for part in vars(self).values() if isinstance(part, Length))
        longer = any(length.amount > whole[length.unit] for length in lengths)
        return "is longer than the training, so it never comes to its end" * longer

    def remedy(self, n_steps: int) -> str:  # noqa: ARG002 - others depend on it
        """Return what mends a misfit to a training of so many steps."""
        return "a longer training, or a fraction of it, as in linear:0.5"

    def told(self, n_steps: int, steps_an_epoch: int) -> str:
        """Return what w does, and what it is at the last step of such a training, in words.

        >>> Far(Length(Fraction(1)), 0.1).told(100, 10)
        'far:1:0.1: 0.1 over the whole of training, then 1; 0.1 at the last step, so never 1'
        """
        last = f"{significant(self.last_weight(n_steps, steps_an_epoch))} at the last step"
        never = "" if self.reaches_its_end(n_steps, steps_an_epoch) else ", so never 1"
        return f"{self}: {self.words}; {last}{never}"


@final
@dataclass(frozen=True)
class Constant(Schedule):
    """w(t) = 1."""

    spelling = "constant"

    def at(self, steps: "Steps", n_steps: int, steps_an_epoch: int) -> "Weights":  # noqa: ARG002
        """Return 1 for every step."""
        return 0.0 * steps + 1

    @property
    def words(self) -> str:
        """It does nothing."""
        return "constant"


@dataclass(frozen=True)
class _Rise(Schedule):
    """w rises from 0 to 1 and stays there.

    p(t) = min(1, t / (F*(T - 1))) of the rise has passed at step t: 0 at the first step, and with
    F = 1 it is 1 at the last. With n steps in place of F, p(t) = min(1, t/n); with n epochs,
    p(t) = min(1, floor(t/S) / n).
    """

    length: Length
    way: ClassVar[str] = ""

    @staticmethod
    @abstractmethod
    def risen(passed: "Weights") -> "Weights":
        """Return w where so much of the rise has passed."""

    def at(self, steps: "Steps", n_steps: int, steps_an_epoch: int) -> "Weights":
        """Return how far w has risen."""
        rise = max(float(self.length.of(n_steps - 1)), _SHORTEST_RISE)
        return self.risen((self.length.elapsed(steps, steps_an_epoch) / rise).clip(max=1))

    @property
    def words(self) -> str:
        """What rises over how long."""
        stairs = ", one value an epoch" if self.length.unit == "epochs" else ""
        return f"from 0 to 1{self.way} over {self.length.words}{stairs}"


@final
@dataclass(frozen=True)
class Linear(_Rise):
    """w(t) = p(t).

    >>> Linear(Length(Fraction(1, 2))).weights(9, 1).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
    """

    spelling = "linear:F"

    @staticmethod
    def risen(passed: "Weights") -> "Weights":
        """Return the part itself."""
        return passed


@final
@dataclass(frozen=True)
class Sigmoid(_Rise):
    """w(t) = (s(p) - s(0)) / (s(1) - s(0)) with s(p) = 1 / (1 + exp(6 - 12*p)): from 0 to 1.

    >>> Sigmoid(Length(Fraction(1))).weights(3, 1).tolist()
    [0.0, 0.5, 1.0]
    """

    spelling = "sigmoid:F"
    way = " along a sigmoid"

    @staticmethod
    def risen(passed: "Weights") -> "Weights":
        """Return the sigmoid between its ends; tanh is the same, and is 0 and 1 to the last bit."""
        import numpy as np  # noqa: PLC0415

        half = _SIGMOID_ENDS / 2
        risen: Weights = (1 + np.tanh(half * (2 * passed - 1)) / np.tanh(half)) / 2
        return risen


@final
@dataclass(frozen=True)
class Cosine(_Rise):
    """w(t) = (1 - cos(pi*p)) / 2.

    >>> Cosine(Length(Fraction(1))).weights(3, 1).round(12).tolist()
    [0.0, 0.5, 1.0]
    """

    spelling = "cosine:F"
    way = " along a cosine"

    @staticmethod
    def risen(passed: "Weights") -> "Weights":
        """Return half a period of the cosine."""
        import numpy as np  # noqa: PLC0415

        risen: Weights = (1 - np.cos(math.pi * passed)) / 2
        return risen


@final
@dataclass(frozen=True)
class Cyclical(Schedule):
    """M times, w rises from 0 to 1 over the fraction F of a cycle and stays there (Fu et al. 2019).

    w(t) = min(1, p / F) where p = mod(t, ceil(T/M)) / (T/M), arXiv:1903.10145, equation 6, with
    steps from 0.

    >>> Cyclical(2, Fraction(1, 2)).weights(8, 1).tolist()
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5, 1.0, 1.0]
    """

    cycles: int
    rise: Fraction
    spelling = "cyclical:M:F"

    def at(self, steps: "Steps", n_steps: int, steps_an_epoch: int) -> "Weights":  # noqa: ARG002
        """Return how far w has risen in its cycle."""
        passed = steps % math.ceil(Fraction(n_steps, self.cycles))
        return (passed / float(self.rise * n_steps / self.cycles)).clip(max=1)

    def misfit(self, n_steps: int, steps_an_epoch: int) -> str:  # noqa: ARG002
        """Return whether a cycle is too short to rise in."""
        return "has cycles of less than two steps" * (n_steps < 2 * self.cycles)

    def remedy(self, n_steps: int) -> str:
        """Return how many cycles there may be."""
        most = counted(n_steps // 2, "cycle")
        return f"at most {most}, or a longer training" if n_steps > 1 else "a longer training"

    @property
    def words(self) -> str:
        """What rises how often."""
        if self.cycles == 1:
            return f"from 0 to 1 over {Length(self.rise).words}"
        part = "" if self.rise == 1 else f"the first {significant(100 * self.rise)}% of "
        return f"from 0 to 1 over {part}each of {counted(self.cycles, 'cycle')}"


@final
@dataclass(frozen=True)
class Far(Schedule):
    """w is ``start`` (W0) first, then 1: a far start, from which a threshold is tested.

    w(t) = W0 for t < F*T and 1 from there on. With n steps in place of F, for t < n; with n epochs,
    for floor(t/S) < n.

    >>> Far(Length(Fraction(1, 2)), 0.01).weights(5, 1).tolist()
    [0.01, 0.01, 0.01, 1.0, 1.0]
    """

    length: Length
    start: float
    spelling = "far:F:W0"

    def at(self, steps: "Steps", n_steps: int, steps_an_epoch: int) -> "Weights":
        """Return the start while it holds."""
        holds = self.length.elapsed(steps, steps_an_epoch) < math.ceil(self.length.of(n_steps))
        return holds * self.start + ~holds

    @property
    def words(self) -> str:
        """What holds for how long."""
        return f"{significant(self.start)} over {self.length.words}, then 1"


def _plain(value: object) -> Any:
    return float(value) if isinstance(value, Fraction) else value


def _number(text: str) -> float:
    """Return a number as a setting has it; NaN if it is none."""
    try:
        return canonical(float(text))
    except ValueError:
        return math.nan


def _weight(text: str, where: str) -> float:
    weight = _number(text)
    if not 0 <= weight < _LARGEST_WEIGHT:
        raise UsageError(
            "the schedule has a weight that it cannot have",
            where=where,
            expected="a number of at least 0, below 1e12",
            received=repr(text),
        )
    return weight


def _cycles(text: str, where: str) -> int:
    if not (_WHOLE.fullmatch(text) and int(text)):
        raise UsageError(
            "the schedule has a number of cycles that it cannot have",
            where=where,
            expected="a whole number of at least 1",
            received=repr(text),
        )
    return int(text)


def _fraction(text: str, where: str) -> Fraction:
    length = Length.parse(text, where)
    if length.unit:
        raise UsageError(
            "the rise is a part of a cycle",
            where=where,
            expected="a fraction above 0 and at most 1",
            received=repr(text),
        )
    return length.amount


_PARTS: Mapping[str, Callable[[str, str], object]] = {
    "length": Length.parse,
    "start": _weight,
    "cycles": _cycles,
    "rise": _fraction,
}
SCHEDULES: Mapping[str, type[Schedule]] = MappingProxyType(
    {
        each.spelling.partition(":")[0]: each
        for each in (Constant, Linear, Sigmoid, Cosine, Cyclical, Far)
    }
)
CONSTANT = str(Constant())
SPELLINGS = joined((each.spelling for each in SCHEDULES.values()), "or")


@functools.lru_cache(maxsize=256)
def schedule(text: str) -> Schedule:
    """Return the schedule that a setting spells, such as ``linear:0.5`` or ``far:0.5:0.01``.

    ``UsageError`` says what was expected, or names the nearest form.

    >>> schedule("linear:400epochs").words
    'from 0 to 1 over the first 400 epochs, one value an epoch'
    """
    form, *parts = text.split(":")
    where = f"the KL schedule {text!r}"
    if form not in SCHEDULES:
        raise UsageError(
            f"no KL schedule is called {form!r}",
            where=where,
            expected=SPELLINGS,
            received=repr(text),
            remedy=did_you_mean(form, SCHEDULES),
        )
    return SCHEDULES[form].parse(parts, where)
