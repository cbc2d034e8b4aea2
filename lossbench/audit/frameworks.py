"""Tensors of whatever library a loss is written in; a library counts once the user has loaded it.

Nothing is imported here that the audited file has not imported already.
"""

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from lossbench.audit.probe import Floats

_KNOWN = ("torch", "tensorflow", "keras")


@dataclass(frozen=True)
class Maker:
    """Makes tensors of one library at one precision from arrays."""

    framework: str
    single: bool
    make: Callable[[Floats], Any]


def makers(loss: object) -> Iterator[Maker]:
    """Yield the ways to call a loss, the likeliest first, each at double precision first."""
    for framework in [*_named_in(loss), "numpy"]:
        for single in (False, True):
            yield Maker(framework, single, _maker(framework, np.float32 if single else np.float64))


def seed_everything(seed: int, framework: str) -> None:
    """Seed the generators of Python, of NumPy and of the library that a loss is called in."""
    random.seed(seed)
    np.random.seed(seed)
    library: Any = sys.modules.get(framework)
    match framework:
        case "torch":
            library.manual_seed(seed)
        case "tensorflow":
            library.random.set_seed(seed)
        case "keras":
            library.utils.set_random_seed(seed)


def to_array(value: Any) -> np.ndarray[Any, Any]:
    """Return a tensor of any library as an array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)


def _loaded(name: str, part: str) -> Any:
    """Return a library that is loaded to its end."""
    module = sys.modules.get(name)
    return module if module is not None and hasattr(module, part) else None


def _named_in(loss: object) -> list[str]:
    """Return the loaded libraries, those that the loss itself names before the others."""
    function = getattr(loss, "__func__", loss)
    function = getattr(function, "python_function", function)  # what tf.function wraps
    function = getattr(function, "__wrapped__", function)
    own = _used_by(function, set())
    loaded = [name for name in _KNOWN if _loaded(name, "__version__")]
    if own and own <= {"numpy", "math", "builtins", "scipy"} and "numpy" in own:
        return []
    return sorted(loaded, key=lambda name: name not in own)


def _used_by(function: object, seen: set[int]) -> set[str]:
    """Return the packages that a function names, or a function of the same file that it calls."""
    if not isinstance(function, FunctionType) or id(function) in seen:
        return set()
    seen.add(id(function))
    names = set(function.__code__.co_names)
    used = names & {*_KNOWN, "numpy"}  # imported inside the function
    for value in (function.__globals__[name] for name in names & function.__globals__.keys()):
        own = isinstance(value, FunctionType) and value.__globals__ is function.__globals__
        used |= _used_by(value, seen) if own else {_root(value)}
    return used


def _root(value: object) -> str:
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
    return str(name or "").partition(".")[0]


def _maker(framework: str, dtype: type) -> Callable[[Floats], Any]:
    module: Any = sys.modules.get(framework)
    match framework:
        case "torch":
            return lambda array: module.from_numpy(array.astype(dtype))
        case "tensorflow":
            return lambda array: module.constant(array.astype(dtype))
        case "keras":
            return lambda array: module.ops.convert_to_tensor(array.astype(dtype))
    return lambda array: array.astype(dtype)
