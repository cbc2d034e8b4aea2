"""What an audit asks, hears and finds: plain records, which cross a process as they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lossbench.auditing.probe import Probe


@dataclass(frozen=True)
class Output:
    """One number or array that a loss returned: where it lies, its shape, the mean of its values.

    ``path`` is as one writes it behind the answer: ``[0]``, ``["kl"]``, ``.loss``, ``[1]["kl"]``,
    or nothing for an answer that is one thing. ``type`` is what it is where it is no array of
    numbers; then ``mean`` is nothing.
    """

    path: str
    shape: tuple[int, ...]
    mean: float
    n_not_finite: int
    single: bool
    type: str = ""

    @property
    def name(self) -> str:
        """The last key or field of the path, or an empty string for a place in a tuple."""
        last = self.path.replace("]", "").replace("[", ".").rpartition(".")[2].strip("\"'")
        return "" if last.isdigit() else last


@dataclass(frozen=True)
class Failure:
    """What stopped a loss: where (``stage``), which exception, its message and its line."""

    stage: str
    type: str = ""
    message: str = ""
    line: str = ""


@dataclass(frozen=True)
class Moved:
    """A number or a small array that a call changed, such as ``self.n``, before and after."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Answer:
    """Every output of one call, or why there is none.

    ``mutated`` names the arguments that it changed in place; ``moved`` what else it changed, which
    was put back afterwards.
    """

    outputs: tuple[Output, ...] = ()
    returned: str = ""
    mutated: tuple[str, ...] = ()
    moved: tuple[Moved, ...] = ()
    failure: Failure | None = None


class Stopped(Exception):  # noqa: N818 - a value for the one who asks
    """The loss cannot be asked further; ``failure`` says at which stage, and what was heard."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


Ask = Callable[[Probe], Answer]


@dataclass(frozen=True)
class Found:
    """How a loss is called, known after its first call.

    ``arguments`` maps each parameter to its role (``x``, ``x_hat``, ``z_mean``, ``z_log_var``,
    ``z_std``, ``z_var``, ``z``, ``d``, ``k``, ``B``, ``N``, ...); ``filled`` says in words how
    every other parameter got its value, as in ``k := 3, the latent size``; ``defaults`` holds the
    numbers that further parameters have by default; ``varies`` names the sizes that can be
    changed; ``spread`` is the role in which the spread of the latents is handed over;
    ``trained`` names the trained numbers of the loss itself, each with its value; ``parameters``
    are the names that it takes, ``absent`` those that are left at ``None``.
    """

    name: str
    framework: str
    arguments: Mapping[str, str]
    filled: tuple[str, ...] = ()
    defaults: Mapping[str, float] = field(default_factory=dict)
    varies: tuple[str, ...] = ("d", "k", "B")
    spread: str = "z_log_var"
    trained: Mapping[str, float] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    model: bool = False
