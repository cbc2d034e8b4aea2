"""What comes back from a loss that was called once, as plain values that cross a process."""

from collections.abc import Callable
from dataclasses import dataclass, field

from lossbench.audit.probe import Probe


@dataclass(frozen=True)
class Output:
    """One thing that a loss returned: its ``name`` in a dict, its shape, the mean of its values.

    ``type`` is what it is where it is no array of numbers; then ``mean`` is nothing.
    """

    name: str
    shape: tuple[int, ...]
    mean: float
    n_not_finite: int
    single: bool
    type: str = ""


@dataclass(frozen=True)
class Failure:
    """What stopped a loss: where (``stage``), which exception, its message and its line."""

    stage: str
    type: str = ""
    message: str = ""
    line: str = ""


@dataclass(frozen=True)
class Answer:
    """Every output of one call, or why there is none; ``mutated`` names changed arguments."""

    outputs: tuple[Output, ...] = ()
    returned: str = ""
    mutated: tuple[str, ...] = ()
    failure: Failure | None = None


class Stopped(Exception):  # noqa: N818 - a value for the one who asks
    """The child cannot go on; ``failure`` says at which stage, and what was last heard."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


Ask = Callable[[Probe], Answer]


@dataclass(frozen=True)
class Found:
    """What was found in the file: how it is called, and what it can be asked.

    ``arguments`` maps each parameter to its role; ``defaults`` holds the numbers that
    further parameters have; ``varies`` names the sizes that can be changed.
    """

    name: str
    framework: str
    arguments: dict[str, str]
    defaults: dict[str, float] = field(default_factory=dict)
    varies: tuple[str, ...] = ("d", "k", "B")
    model: bool = False
