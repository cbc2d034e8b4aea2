"""What the source of a function says of its values: into which names they are unpacked.

``mu, log_var = model.encode(x)`` says what ``model.encode`` has to give, ``outputs["recon"]`` what
``outputs`` holds, ``recons = args[0]`` what the first argument is.
"""

import ast
import functools
import inspect
import textwrap
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

HALVING = ("chunk", "split")
Names = str | tuple["Names", ...]  # as they stand left of an equals sign; "" for anything else


@dataclass(frozen=True)
class Called:
    """A call of something by name: ``model.encode(x)``; into which names its answer goes.

    ``path`` is what is called, ``then`` what is done with the answer at once, ``line`` where it
    stands.
    """

    path: tuple[str, ...]
    names: Names
    then: str
    line: str

    @property
    def halved(self) -> bool:
        """Whether the answer is split at once."""
        return self.then in HALVING


@dataclass
class Reading:
    """What one function does with names.

    ``unpacked`` maps a name to what it is unpacked into, ``inside`` does so for its keys,
    ``needed`` and ``optional`` to the keys that it is asked for by brackets and by ``get``, and
    ``fields`` to the attributes read from it; ``called`` lists calls in order; ``passed`` are
    names that are handed on, to which function and in which place; ``looped`` are those whose
    items are taken one after the other. All this is of ``function``.
    """

    function: FunctionType | None

    unpacked: dict[str, Names] = field(default_factory=dict)
    needed: dict[str, list[str]] = field(default_factory=dict)
    inside: dict[str, dict[str, Names]] = field(default_factory=dict)
    optional: dict[str, dict[str, Any]] = field(default_factory=dict)
    called: list[Called] = field(default_factory=list)
    fields: dict[str, list[str]] = field(default_factory=dict)
    passed: list[tuple[str, tuple[str, ...], int]] = field(default_factory=list)
    looped: set[str] = field(default_factory=set)

    def into(self, name: str, depth: int = 3) -> Names:
        """Return what a name is unpacked into, here or where it is handed on to."""
        function: Any = self.function
        if name in self.unpacked or function is None or not depth:
            return self.unpacked.get(name, ())
        for each, path, at in self.passed:
            inner = _inner(function, path) if each == name else None
            names = _parameters(inner, path) if inner else ()
            if inner and at < len(names) and (found := read(inner).into(names[at], depth - 1)):
                return found
        return ()

    def keys(self, name: str) -> list[str]:
        """Return every key and attribute that a name is asked for, each once."""
        kinds = (self.needed, self.optional, self.fields)
        return list(dict.fromkeys(key for kind in kinds for key in kind.get(name, ())))


def underlying(loss: Any) -> Any:
    """Return the plain function below a method, a partial, a decorator, a module or a callable."""
    for _ in range(8):
        partial = isinstance(loss, functools.partial)
        ways = ("func",) if partial else ("python_function", "__func__", "__wrapped__")
        inner = next((getattr(loss, way) for way in ways if hasattr(loss, way)), None)
        if inner is None and callable(loss) and not isinstance(loss, type | FunctionType):
            inner = entry(loss)
        if inner is None or inner is loss:
            return loss
        loss = inner
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
    wrapped = hasattr(loss, "python_function") or hasattr(loss, "__wrapped__")
    plain = wrapped and not isinstance(loss, functools.partial)
    return inspect.signature(underlying(loss) if plain else entry(loss))


def read(loss: Any) -> Reading:
    """Return what the function below a loss does with names; nothing without its source."""
    function = underlying(loss)
    return _read(function) if isinstance(function, FunctionType) else Reading(None)


def made_by(loss: Any) -> tuple[str, ...]:
    """Return the parameters of the function that a function defines and returns, if it does."""
    function = underlying(loss)
    body = (
        getattr(_tree(function), "body", [None])[0] if isinstance(function, FunctionType) else None
    )
    inner = {
        each.name: each for each in getattr(body, "body", ()) if isinstance(each, ast.FunctionDef)
    }
    for node in getattr(body, "body", ()):
        match node:
            case ast.Return(value=ast.Name(id=name)) if name in inner:
                return tuple(each.arg for each in inner[name].args.args)
    return ()


def _tree(function: FunctionType) -> ast.Module | None:
    """Return the syntax of a function; nothing without its source."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None


@functools.lru_cache(maxsize=256)
def _read(function: FunctionType) -> Reading:
    reading = Reading(function)
    tree = _tree(function)
    if tree is None:
        return reading
    nodes = list(ast.walk(tree))
    goes: dict[int, Names] = {}
    for node in nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            _read_assignment(node, reading, goes)
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    then = {
        id(each): call.func.attr
        for call in calls
        if isinstance(call.func, ast.Attribute)
        for each in (call.func.value, *(call.args[:1] if call.func.attr in HALVING else ()))
    }
    lines = inspect.getsource(function).splitlines()
    for call in calls:
        path = _path(call.func)
        if path:
            n = call.lineno - 1
            line = f"line {function.__code__.co_firstlineno + n}: {lines[n].strip()}"
            names = goes.get(id(call), "")
            reading.called.append(Called(path, names, then.get(id(call), ""), line))
        _read_arguments(call, path, function, reading)
    heads = {id(call.func) for call in calls}
    for node in sorted(nodes, key=lambda n: (getattr(n, "lineno", 0), getattr(n, "col_offset", 0))):
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key))):
                reading.needed.setdefault(name, []).append(key)
            case ast.For(iter=source) | ast.comprehension(iter=source):
                inside = source.args if isinstance(source, ast.Call) else [source]
                reading.looped |= {each.id for each in inside if isinstance(each, ast.Name)}
            case ast.Attribute(attr=attribute) if id(node) not in heads and _path(node):
                reading.fields.setdefault(".".join(_path(node)[:-1]), []).append(attribute)
    return reading


def _read_arguments(
    call: ast.Call, path: tuple[str, ...], function: FunctionType, reading: Reading
) -> None:
    """Note which names a call hands on, and which key ``get`` or ``pop`` is asked for."""
    for at, given in enumerate(call.args):
        match given:
            case ast.Name(id=name):
                reading.passed.append((name, path, at))
            case ast.Starred(value=ast.Name(id=name)):
                by_name = {keyword.arg for keyword in call.keywords}
                own = _parameters(_inner(function, path), path)[at:]
                names = (n for n in own if n not in by_name)
                reading.unpacked.setdefault(name, tuple(names))
    match path, call.args:
        case (name, "pop"), [ast.Constant(value=str(key))]:
            reading.needed.setdefault(name, []).append(key)
        case (name, "get" | "pop"), [ast.Constant(value=str(key)), *default]:
            value = default[0].value if default and isinstance(default[0], ast.Constant) else None
            reading.optional.setdefault(name, {})[key] = value


def _inner(function: FunctionType, path: tuple[str, ...]) -> FunctionType | None:
    """Return a function of the same file, or a method of the same class."""
    inner: Any = None
    match path:
        case (name,):
            inner = underlying(function.__globals__.get(name))
        case ("self", name):
            owner = function.__globals__.get(function.__qualname__.partition(".")[0])
            inner = underlying(getattr(owner, name, None))
    return inner if isinstance(inner, FunctionType) else None


def _parameters(inner: FunctionType | None, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the parameters of a function, or of a method but for ``self``."""
    if inner is None:
        return ()
    return inner.__code__.co_varnames[len(path) - 1 : inner.__code__.co_argcount]


def _read_assignment(
    node: ast.Assign | ast.AnnAssign, reading: Reading, goes: dict[int, Names]
) -> None:
    """Note what is unpacked into which names; ``goes`` maps calls to those of their answer."""
    pairs: list[tuple[ast.expr, ast.expr | None]] = []
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs += zip(target.elts, node.value.elts, strict=False)
        else:
            pairs.append((target, node.value))
    for left, right in pairs:
        names = _names(left)
        match right:
            case ast.Call():
                goes[id(right)] = names
            case ast.Name(id=name) if isinstance(names, tuple):
                reading.unpacked.setdefault(name, names)
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key))):
                if isinstance(names, tuple):
                    reading.inside.setdefault(name, {})[key] = names
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=int(at))):
                _place(reading, name, at, names)
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Slice(lower=lower)):
                first = lower.value if isinstance(lower, ast.Constant) else 0
                if isinstance(names, tuple) and isinstance(first, int):
                    for n, each in enumerate(names):
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
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return tuple(_names(part) for part in parts)
    return ""


def _path(node: ast.AST) -> tuple[str, ...]:
    """Return a dotted name as a tuple, or nothing."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()
