"""What a loss keeps between calls: found, watched, put back; and written where a probe asks it.

An attribute of the object or of its class, of a function, a number that is closed over or stands
in the file, a buffer of a module, a random generator.
"""

import copy
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from lossbench.arrays import to_array
from lossbench.auditing.records import Moved
from lossbench.auditing.source import underlying

_MOST_VALUES = 2**12
_MOST_PLACES = 400
_OWN = (int, float, complex, str, bytes, bool, type(None))
_NO_STATE = (FunctionType, BuiltinFunctionType, MethodType, ModuleType, type)
_NOTHING = object()
_CONTAINERS = (list, dict, set, deque)


def _set_bits(generator: np.random.Generator, state: Any) -> None:
    generator.bit_generator.state = state


# How the state of a random generator is read, and put back.
_GENERATORS: Mapping[type, tuple[Callable[[Any], Any], Callable[[Any, Any], None]]] = {
    random.Random: (random.Random.getstate, random.Random.setstate),
    np.random.Generator: (lambda own: copy.deepcopy(own.bit_generator.state), _set_bits),
    np.random.RandomState: (np.random.RandomState.get_state, np.random.RandomState.set_state),
}


class State:
    """The places that a call of a loss may change, as they were when it was loaded.

    ``trained`` maps the trained numbers of the loss to their values, ``numbers`` the other ones of
    its object that it reads.
    """

    def __init__(self, loss: Any) -> None:
        self._places: list[_Place] = []
        self._owners: list[tuple[str, dict[str, Any], set[str]]] = []
        self._seen: set[int] = set()
        self._modes: list[tuple[Any, bool]] = []
        self._written: dict[int, Any] = {}
        owner = getattr(loss, "__self__", None if isinstance(loss, FunctionType) else loss)
        if owner is not None and not isinstance(owner, _NO_STATE):
            self._object("self", owner, 2)
        self._function(underlying(loss))
        self.trained = {
            place.name: float(to_array(place.value).reshape(()))
            for place in self._places
            if _is_trained(place.value)
        }
        read = _read_by(underlying(loss), type(owner), set())
        self.numbers = {
            place.name: place.value
            for place in self._places
            if place.name.count(".") == 1
            and place.name.partition(".")[2] in read
            and type(place.value) in (int, float)
        }
        self._named: dict[str, _Place] = {}
        for place in self._places:
            self._named.setdefault(place.name.removeprefix("self."), place)
            self._named[place.name] = place

    @property
    def names(self) -> tuple[str, ...]:
        """The names of attributes of the object that can be written."""
        return tuple(dict.fromkeys(p.name for p in self._places if p.name.startswith("self.")))

    def has(self, name: str) -> bool:
        """Return whether a number of that name, or an attribute, can be written."""
        return name in self._named

    def prepare(self, given: Mapping[str, Any], *, training: bool) -> None:
        """Write what a probe gives, and set the mode of modules."""
        for module, _ in self._modes:
            module.training = training
        self._written.clear()
        for name, value in given.items():
            place = self._named[name]
            place.write(value)
            self._written[id(place)] = value

    def restore(self) -> list[Moved]:
        """Put everything back, and return what the call itself had moved."""
        moved = []
        for module, training in self._modes:
            module.training = training
        for place in self._places:
            if not place.changed():
                continue
            before = self._written.get(id(place), place.shown)
            now = _text(place.holder.get(place.key, _NOTHING))
            before = before if isinstance(before, str) else _text(before)
            if before and now and before != now:
                moved.append(Moved(place.name, before, now))
            place.restore()
        for name, holder, keys in self._owners:
            if len(holder) != len(keys):
                for key in [key for key in holder if key not in keys]:
                    now = _text(holder.pop(key))
                    if now and not key.startswith("_"):
                        moved.append(Moved(f"{name}.{key}", "nothing", now))
        return moved

    def _place(self, name: str, holder: Any, key: str, *, default: Any = _NOTHING) -> None:
        value = holder.get(key, _NOTHING)
        if len(self._places) < _MOST_PLACES and not isinstance(value, _NO_STATE):
            self._places.append(_Place(name, holder, key, value, default))

    def _object(self, name: str, value: Any, depth: int) -> None:
        """Note the attributes of an object, those of the objects in it, and a module's numbers."""
        own = getattr(value, "__dict__", None)
        if own is None or id(value) in self._seen or not depth:
            return
        self._seen.add(id(value))
        torch = sys.modules.get("torch")
        module = torch is not None and isinstance(value, torch.nn.Module)
        if module:
            self._modes.append((value, value.training))
            for kind in ("_buffers", "_parameters"):
                for key in own[kind]:
                    self._place(f"{name}.{key}", own[kind], key)
            for key, inner in own["_modules"].items():
                self._object(f"{name}.{key}", inner, 9)
            if type(value).__module__.startswith("torch."):
                return
        self._owners.append((name, own, set(own)))
        for key, inner in list(own.items()):
            if key.startswith("_") and (module or key.startswith("__")):
                continue
            if key != "training":
                self._place(f"{name}.{key}", own, key)
            if _is_plain_object(inner):
                self._object(f"{name}.{key}", inner, depth - 1)
        for owner in type(value).__mro__:
            self._class(name, own, owner)

    def _class(self, name: str, own: dict[str, Any], owner: type) -> None:
        """Note the numbers of a class, which an object has until it gets its own."""
        if owner.__module__.partition(".")[0] in ("torch", "keras", "tensorflow", "builtins"):
            return
        for key, inner in vars(owner).items():
            if isinstance(inner, int | float) and key not in own and not key.startswith("__"):
                self._place(f"{name}.{key}", own, key, default=inner)
                self._place(f"{owner.__name__}.{key}", _Attributes(owner), key)

    def _function(self, function: Any) -> None:
        """Note what a function names: attributes, cells, numbers of its file, functions in it."""
        if not isinstance(function, FunctionType) or id(function) in self._seen:
            return
        self._seen.add(id(function))
        for key in function.__dict__:
            if key != "__wrapped__":
                self._place(f"{function.__name__}.{key}", function.__dict__, key)
        self._owners.append((function.__name__, function.__dict__, set(function.__dict__)))
        known = function.__globals__
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
        held: list[tuple[str, Any, str]] = [(n, _Attributes(c), "cell_contents") for n, c in cells]
        held += [(name, known, name) for name in _names_of(function.__code__) if name in known]
        for name, holder, key in held:
            value = holder.get(key, _NOTHING)
            inner = underlying(value) if callable(value) else value
            if isinstance(inner, FunctionType) and inner.__globals__ is known:
                self._function(inner)
            if name != "__class__" and not isinstance(value, _NO_STATE):
                self._place(name, holder, key)
                if _is_plain_object(value):
                    self._object(name, value, 1)


class _Place:
    """One value in a holder, as it was; ``shown`` is it in words where it is a number."""

    def __init__(
        self, name: str, holder: MutableMapping[str, Any], key: str, value: Any, default: Any
    ) -> None:
        self.name, self.holder, self.key, self.value = name, holder, key, value
        self.shown = _text(value if value is not _NOTHING else default)
        self._kept = _kept(value)
        self._version = getattr(value, "_version", None)

    def write(self, value: Any) -> None:
        """Put another value here; into a tensor or a variable, where there is one."""
        if _is_trained(self.value) and isinstance(value, int | float):
            _fill(self.value, value)
        else:
            self.holder[self.key] = value

    def changed(self) -> bool:
        """Return whether the value is another one now."""
        value, kept = self.value, self._kept
        if self.holder.get(self.key, _NOTHING) is not value:
            return True
        if kept is _NOTHING:
            return False
        if self._version is not None:  # PyTorch counts changes, but for those of its own layers
            return bool(value._version != self._version or not kept.equal(value))
        if isinstance(value, _CONTAINERS):
            return not _same(value, kept)
        return type(value) in _GENERATORS or not np.array_equal(to_array(value), to_array(kept))

    def restore(self) -> None:
        """Put the value back, in place where it was changed in place."""
        value, kept = self.value, self._kept
        if value is _NOTHING:
            self.holder.pop(self.key, None)
        elif self.holder.get(self.key, _NOTHING) is not value:
            self.holder[self.key] = value
        if kept is _NOTHING:
            return
        if type(value) in _GENERATORS:
            _GENERATORS[type(value)][1](value, kept)
        elif isinstance(value, list):
            value[:] = kept
        elif isinstance(value, deque):
            value.clear()
            value.extend(kept)
        elif isinstance(value, dict | set):
            value.clear()
            value.update(kept)
        else:
            _fill(value, kept)
            self._version = getattr(value, "_version", None)


class _Attributes:
    """The attributes of a class, or of a cell, as a holder."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner

    def get(self, key: str, default: Any = None) -> Any:
        """Return an attribute; the default for an empty cell, too."""
        try:
            return getattr(self._owner, key)
        except (AttributeError, ValueError):
            return default

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self._owner, key, value)

    def pop(self, key: str, _default: Any = None) -> None:
        """Remove an attribute."""
        delattr(self._owner, key)


def _kept(value: Any) -> Any:
    """Return a copy of a value that may change in place; nothing for one that may not."""
    if type(value) in _GENERATORS:
        return _GENERATORS[type(value)][0](value)
    if isinstance(value, _CONTAINERS):
        return copy.copy(value) if len(value) <= _MOST_VALUES else _NOTHING
    if hasattr(value, "_version") and hasattr(value, "detach"):
        return value.detach().clone() if value.numel() <= _MOST_VALUES else _NOTHING
    if isinstance(value, np.ndarray) or _is_variable(value):
        few = np.prod(tuple(value.shape)) <= (_MOST_VALUES if isinstance(value, np.ndarray) else 64)
        return to_array(value).copy() if few else _NOTHING
    return _NOTHING


def _fill(tensor: Any, value: Any) -> None:
    if hasattr(tensor, "detach"):
        own: Any = tensor.detach()
        own.copy_(value) if hasattr(value, "detach") else own.fill_(value)
    elif isinstance(tensor, np.ndarray):
        tensor[...] = value
    else:
        tensor.assign(np.broadcast_to(value, tuple(tensor.shape)))


def _is_variable(value: Any) -> bool:
    return hasattr(value, "assign") and hasattr(value, "shape") and hasattr(value, "trainable")


def _is_trained(value: Any) -> bool:
    """Return whether a value is a parameter of one element, which training would change."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.nn.Parameter):
        return bool(value.numel() == 1 and value.requires_grad)
    return _is_variable(value) and bool(value.trainable) and int(np.prod(tuple(value.shape))) == 1


def _is_plain_object(value: Any) -> bool:
    """Return whether the attributes of a value may be the loss's own state."""
    kept = (list, dict, set, tuple, np.ndarray, *_OWN, *_NO_STATE)
    if isinstance(value, kept) or hasattr(value, "detach") or _is_variable(value):
        return False
    return hasattr(value, "__dict__") and not hasattr(value, "dtype")


def _same(one: Any, other: Any) -> bool:
    """Return whether two containers hold the same things; tensors count by identity."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and _same([*one.values()], [other[key] for key in one])
    if isinstance(one, set):
        return bool(one == other)
    return len(one) == len(other) and all(
        a is b or (isinstance(a, _OWN) and isinstance(b, _OWN) and a == b)
        for a, b in zip(one, other, strict=True)
    )


def _text(value: Any) -> str:  # noqa: PLR0911 - a case for every kind
    """Return a number or a few of them in words; an empty string for anything else."""
    if isinstance(value, bool | str) or value is None:
        return str(value)[:40]
    if isinstance(value, int | float):
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    if isinstance(value, deque):
        value = list(value)
    if isinstance(value, list | tuple | set | dict):
        inner = value.values() if isinstance(value, dict) else value
        short = len(value) <= 8 and all(isinstance(each, _OWN) for each in inner)
        return repr(value)[:40] if short else f"{type(value).__name__} of {len(value)}"
    try:
        array = to_array(value)
    except Exception:
        return ""
    if array.dtype.kind not in "fiu" or array.size > _MOST_VALUES:
        return ""
    if array.size == 1:
        return f"{float(array.reshape(())):.6g}"
    return f"{array.shape}, mean {float(array.mean()):.6g}" if array.size else ""


def _read_by(function: Any, owner: type, seen: set[Any]) -> set[str]:
    """Return the names that a function reads, and those methods and properties that it names."""
    if isinstance(function, property):
        function = function.fget
    function = underlying(function)
    if not isinstance(function, FunctionType) or function in seen:
        return set()
    seen.add(function)
    names = {*_names_of(function.__code__)}
    own = (getattr(owner, name, None) for name in sorted(names))
    return names.union(*(_read_by(each, owner, seen) for each in own if each is not None))


def _names_of(code: Any) -> Iterator[str]:
    """Yield the names that code uses, and the functions inside it."""
    yield from code.co_names
    for inner in code.co_consts:
        if hasattr(inner, "co_names"):
            yield from _names_of(inner)
