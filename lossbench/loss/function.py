"""A loss function of the user's own that is trained itself: what it is, and how it is called."""

from dataclasses import dataclass, field
from pathlib import Path

from lossbench.loss.convention import Sizes


@dataclass(frozen=True)
class Way:
    """How an audit found that a function is called at these sizes, and why it is trained itself.

    ``beta`` is the weight that it is given, ``None`` where it takes none. ``framework`` is its
    library; ``total`` is arithmetic in what it returns. ``spread`` is what it takes its second
    array of latents for, such as ``log_var`` or ``log_std``; ``of_logits`` is whether its
    reconstruction is logits, ``shape`` that of one image. ``words`` say what reconstruction it has.
    """

    sizes: Sizes
    beta: float | None
    framework: str
    total: str
    spread: str
    of_logits: bool
    shape: tuple[int, ...]
    words: str = field(compare=False)
    reason: str = field(compare=False)


@dataclass(frozen=True)
class LossFunction:
    """A function in a user's file, and the way to call it: what a worker needs to train it.

    ``name`` is that of the file and the function, ``FILE.py:FUNCTION``. ``file`` is where it was
    found, ``source`` its bytes; neither makes it another one, ``sha256`` does.
    """

    name: str
    sha256: str
    way: Way
    file: Path = field(compare=False)
    source: bytes = field(compare=False, repr=False)

    @property
    def function(self) -> str:
        """The name of the function within its file."""
        return self.name.rpartition(":")[2]


def is_own(text: str) -> bool:
    """Return whether a text names a file: no convention and no network has such a name."""
    return ":" in text or text.endswith(".py")
