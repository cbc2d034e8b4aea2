"""lossbench settles which VAE loss you really train.

Its functions load when they are first asked for; to import it costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lossbench.api import audit, compare, explain, predict, recommend, show, sweep
    from lossbench.measurement import measure

__version__ = "0.1.0"
__all__ = ["audit", "compare", "explain", "measure", "predict", "recommend", "show", "sweep"]

# Where each function is.
_ROOMS = dict.fromkeys(__all__, "lossbench.api") | {"measure": "lossbench.measurement"}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_ROOMS[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
