"""What the source of a function says of its values: into which names they are unpacked.

``mu, log_var = model.encode(x)`` says what ``model.encode`` has to give, ``outputs["recon"]`` what
``outputs`` holds, ``recons = args[0]`` what the first argument is.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

Names = str | tuple["Names", ...]  # as they stand left of an equals sign; "" for anything else


@dataclass(frozen=True)
class Called:
    """A call of something by name: ``model.encode(x)``; into which names its answer goes.

    ``path`` is what is called, ``halved`` whether the answer is split at once.
    """

    path: tuple[str, ...]
    names: Names
    halved: bool


@dataclass
class Reading:
    """What one function does with names.

    ``unpacked`` maps a name to what it is unpacked into, ``inside`` does so for its keys,
    ``needed`` and ``optional`` to the keys that it is asked for by brackets and by ``get``, and
    ``fields`` to the attributes read from it; ``called`` lists calls in order; ``passed`` are
    names that are handed on, to which function and in which place.
    """

    unpacked: dict[str, Names] = field(default_factory=dict)
    needed: dict[str, list[str]] = field(default_factory=dict)
    inside: dict[str, dict[str, Names]] = field(default_factory=dict)
    optional: dict[str, dict[str, Any]] = field(default_factory=dict)
    called: list[Called] = field(default_factory=list)
    fields: dict[str, list[str]] = field(default_factory=dict)
    passed: list[tuple[str, tuple[str, ...], int]] = field(default_factory=list)

    def keys(self, name: str) -> list[str]:
        """Return every key and attribute that a name is asked for, each once."""
        found = [
            *self.needed.get(name, ()),
            *self.optional.get(name, ()),
            *self.fields.get(name, ()),
        ]
        return list(dict.fromkeys(found))


def underlying(loss: Any) -> Any:
    """Return the plain function below a method, a partial, a decorator, a module or a callable."""
    for _ in range(8):
        if isinstance(loss, FunctionType):
            inner = getattr(loss, "__wrapped__", None)
            if inner is None:
                return loss
            loss = inner
        elif isinstance(loss, functools.partial):
            loss = loss.func
        elif hasattr(loss, "python_function"):  # of tf.function
            loss = loss.python_function
        elif hasattr(loss, "__func__"):
            loss = loss.__func__
        elif hasattr(loss, "__wrapped__"):
            loss = loss.__wrapped__
        elif callable(loss) and not inspect.isclass(loss):
            loss = entry(loss)
        else:
            return loss
    return loss


def entry(called: Any) -> Any:
    """Return the method that carries out a call of an object: ``forward``, ``call`` or itself."""
    if isinstance(called, FunctionType | functools.partial) or inspect.ismethod(called):
        return called
    for name in ("forward", "call"):
        if inspect.ismethod(getattr(called, name, None)):
            return getattr(called, name)
    own = inspect.getattr_static(type(called), "__call__", None)
    return own.__get__(called) if isinstance(own, FunctionType) else called


def signature_of(loss: Any) -> inspect.Signature:
    """Return the signature of what carries out a call, below TensorFlow's and JAX's wrappers."""
    if isinstance(loss, functools.partial):
        return inspect.signature(loss)
    if hasattr(loss, "python_function") or hasattr(loss, "__wrapped__"):
        return inspect.signature(underlying(loss))
    return inspect.signature(entry(loss))


@functools.lru_cache(maxsize=256)
def read(function: Callable[..., object]) -> Reading:
    """Return what a plain function does with names; nothing where its source cannot be had."""
    reading = Reading()
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return reading
    goes = dict(_assigned(tree, reading))
    halved = {id(call) for call in _halved(tree)}
    heads = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                path = _path(node.func)
                if path:
                    called = Called(path, goes.get(id(node), ""), id(node) in halved)
                    reading.called.append(called)
                for at, given in enumerate(node.args):
                    match given:
                        case ast.Name(id=name):
                            reading.passed.append((name, path, at))
                        case ast.Starred(value=ast.Name(id=name)):
                            by_name = {keyword.arg for keyword in node.keywords}
                            names = _parameters(function, path)[at:]
                            names = tuple(each for each in names if each not in by_name)
                            reading.unpacked.setdefault(name, names)
                _read_get(node, path, reading)
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key))):
                reading.needed.setdefault(name, []).append(key)
            case ast.Attribute(attr=attribute) if id(node) not in heads:
                path = _path(node)
                if path:
                    reading.fields.setdefault(".".join(path[:-1]), []).append(attribute)
    return reading


def _parameters(function: Any, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the parameters of a function of the same file, or of a method of the same class."""
    known = function.__globals__
    if len(path) == 2 and path[0] == "self":
        owner = known.get(function.__qualname__.partition(".")[0])
        return _parameters_of(getattr(owner, path[1], None))[1:]
    return _parameters_of(known.get(path[0])) if len(path) == 1 else ()


def _parameters_of(function: Any) -> tuple[str, ...]:
    inner = underlying(function)
    if not isinstance(inner, FunctionType):
        return ()
    return inner.__code__.co_varnames[: inner.__code__.co_argcount]


def _read_get(node: ast.Call, path: tuple[str, ...], reading: Reading) -> None:
    if len(path) != 2 or path[1] not in ("get", "pop") or not node.args:
        return
    match node.args:
        case [ast.Constant(value=str(key))]:
            default: Any = None if path[1] == "get" else ...
        case [ast.Constant(value=str(key)), given]:
            default = given.value if isinstance(given, ast.Constant) else None
        case _:
            return
    if default is ...:
        reading.needed.setdefault(path[0], []).append(key)
    else:
        reading.optional.setdefault(path[0], {})[key] = default


def _assigned(tree: ast.AST, reading: Reading) -> Iterator[tuple[int, Names]]:
    """Yield the calls whose answers go into names; note what is unpacked on the way."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            for left, right in pairs:
                names = _names(left)
                match right:
                    case ast.Call() if names:
                        yield id(right), names
                    case ast.Name(id=name) if isinstance(names, tuple):
                        reading.unpacked.setdefault(name, names)
                    case ast.Subscript(
                        value=ast.Name(id=name), slice=ast.Constant(value=str(key))
                    ) if isinstance(names, tuple):
                        reading.inside.setdefault(name, {})[key] = names
                    case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=int(at))):
                        _place(reading, name, at, names)
                    case ast.Subscript(value=ast.Name(id=name), slice=ast.Slice(lower=lower)) if (
                        lower is None or isinstance(lower, ast.Constant)
                    ):
                        first = int(str(lower.value)) if lower else 0
                        for n, each in enumerate(names if isinstance(names, tuple) else ()):
                            _place(reading, name, first + n, each)


def _place(reading: Reading, name: str, at: int, names: Names) -> None:
    known = reading.unpacked.get(name, ())
    if at < 0 or at > 9 or isinstance(known, str):
        return
    wider = [*known, *[""] * (at + 1 - len(known))]
    wider[at] = wider[at] or names
    reading.unpacked[name] = tuple(wider)


def _names(target: ast.AST) -> Names:
    match target:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return name
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return tuple(_names(part) for part in parts)
    return ""


def _halved(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the calls whose answers are split in two at once, by ``split`` or ``chunk``."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Call() as inner, attr="chunk" | "split")):
                yield inner
            case ast.Call(
                func=ast.Attribute(attr="chunk" | "split"), args=[ast.Call() as inner, *_]
            ):
                yield inner


def _path(node: ast.AST) -> tuple[str, ...]:
    """Return a dotted name as a tuple, or nothing."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()
