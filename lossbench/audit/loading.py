"""From a user's file and a name in it to something that answers probes."""

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from lossbench.audit.callee import Callee, Made, failure_of
from lossbench.audit.keras_model import ModelCallee, is_model, model_in
from lossbench.audit.probe import Probe, Setting
from lossbench.audit.records import Answer, Found
from lossbench.audit.signature import (
    FOUR,
    Refusal,
    builder_roles,
    missing,
    read_signature,
    roles_in,
)
from lossbench.audit.source import entry, read, underlying
from lossbench.audit.stub import Plan, needed_of, planned

_LOSSES = ("loss", "elbo", "objective", "step", "bound", "criterion")


class Asked(Protocol):
    """Something that answers probes, and says how it is called."""

    def __call__(self, probe: Probe) -> Answer:
        """Return the answer to a probe."""

    def found(self) -> Found:
        """Return how it is called; known after the first answer."""


def load(file: str, name: str, named: Mapping[str, str], given: Mapping[str, Setting]) -> Asked:
    """Return the loss or the model called ``name`` in ``file``, ready to be asked.

    ``Refusal`` says why there is none. A function that takes none of the usual four builds a
    Keras model; a class, or what stands in one, has an object made of it.
    """
    module = _module(file)
    owner, loss = _attribute(module, name)
    if is_model(loss):
        return _as_it_is(loss, name, given)
    method = name.rpartition(".")[2]
    if inspect.isclass(owner) and callable(loss) and not inspect.isclass(loss):
        if _is_keras(owner) and method == "train_step":
            return _built(owner, name, named, given, vars(module))
        if not isinstance(inspect.getattr_static(owner, method), staticmethod | classmethod):
            return _of_class(owner, method, name, named, given, vars(module))
    if inspect.isclass(loss):
        return _of_class(loss, "", name, named, given, vars(module))
    if not callable(loss):
        raise Refusal("kind", f"a {type(loss).__name__}")
    return from_function(loss, name, named, given, vars(module))


def from_function(
    loss: Callable[..., Any],
    name: str,
    named: Mapping[str, str],
    given: Mapping[str, Setting],
    scope: Mapping[str, Any] | None = None,
) -> Asked:
    """Return a function, or anything callable, as something that can be asked.

    ``scope`` holds the objects that settings may name. ``Refusal`` if its arguments do not fit.
    """
    inner = underlying(loss)
    scope = scope or getattr(inner, "__globals__", {})
    if is_model(loss):
        return _as_it_is(loss, name, given)
    owner = getattr(entry(loss), "__self__", None)
    return _callee(loss, loss, owner, name, named, given, scope)


def _of_class(
    kind: type,
    method: str,
    name: str,
    named: Mapping[str, str],
    given: Mapping[str, Setting],
    scope: Mapping[str, Any],
) -> Asked:
    """Return a method of a class, or a class whose objects are called, with an object made."""
    if not method and _is_keras(kind):
        return _built(kind, name, named, given, scope)
    function = getattr(kind, method, None) if method else _entry_of(kind)
    if function is None:
        raise Refusal("kind", f"a class{_methods(kind)}")
    own = tuple(inspect.signature(kind).parameters) if _has_init(kind) else ()
    for_call = {n: value for n, value in given.items() if n not in own}
    made = Made(kind, method, function, named, given)
    return _callee(made, function, kind, name, named, for_call, scope)


def _is_keras(kind: type) -> bool:
    return any(each.__name__ == "Model" and "keras" in each.__module__ for each in kind.__mro__)


def _has_init(kind: type) -> bool:
    return inspect.isfunction(getattr(kind, "__init__", None))


def _entry_of(kind: type) -> Any:
    """Return what a call of an object of a class carries out, if that stands in a user's code."""
    for name in ("forward", "call", "__call__"):
        found = getattr(kind, name, None)
        library = getattr(found, "__module__", "") or ""
        if inspect.isfunction(found) and not library.startswith(("torch.", "keras.")):
            return found
    return None


def _methods(kind: type) -> str:
    names = [n for n, v in vars(kind).items() if inspect.isfunction(v)]
    losses = [n for n in names if any(word in n.lower() for word in _LOSSES)]
    return f" with {', '.join(f'{kind.__name__}.{n}' for n in losses)}" if losses else ""


def _callee(
    loss: Callable[..., Any] | Made,
    function: Callable[..., Any],
    owner: Any,
    name: str,
    named: Mapping[str, str],
    given: Mapping[str, Setting],
    scope: Mapping[str, Any],
) -> Asked:
    """Return what answers for a function; ``owner`` is the class or the object that it is of."""
    first = 1 if isinstance(loss, Made) else 0
    try:
        signature = read_signature(function, named, given, first)
    except (TypeError, ValueError) as error:
        raise Refusal("arguments", f"no signature: {error}") from None
    shown = ", ".join(signature.names)
    own = tuple(loss.names) if isinstance(loss, Made) else ()
    for role, parameter in named.items():
        if parameter not in (*signature.names, *own):
            raise Refusal("args", f"{role}={parameter}", shown)
    plan, needed = Plan(), list(signature.needed)
    model = next((n for n, role in signature.arguments.items() if role == "model"), "")
    if model:
        plan = planned(function, model)
        needed += needed_of(plan, model, given)
    elif owner is not None and signature.missing:
        plan = planned(function, "self", owner)
    elif signature.missing:
        plan, model = _global_model(function)
        owner = getattr(underlying(function), "__globals__", {}).get(model)
    roles = {*signature.arguments.values(), *plan.roles}
    roles = roles.union(*map(roles_in, signature.orders.values()), roles_in(signature.star or ""))
    lacking = missing(roles) if signature.missing else ()
    if lacking and not roles & {*FOUR, "fields", "model"}:
        sizes, others = builder_roles(function, named, given, follow=True)
        if owner is not None or (others and not sizes):
            raise Refusal("arguments", ", ".join(lacking), shown)
        return _built(function, name, named, given, scope)
    if lacking:
        raise Refusal("arguments", ", ".join(lacking), shown)
    if needed:
        raise Refusal("needed", ", ".join(needed), shown)
    return Callee(loss, signature, name, scope, plan, owner)


def _global_model(function: Callable[..., Any]) -> tuple[Plan, str]:
    """Return what a function asks of a model that stands in its file, and under which name."""
    inner = underlying(function)
    if not inspect.isfunction(inner):
        return Plan(), ""
    for root in dict.fromkeys(called.path[0] for called in read(inner).called):
        value = inner.__globals__.get(root)
        if value is None or inspect.isroutine(value) or inspect.isclass(value):
            continue
        plan = planned(function, root, value)
        if not isinstance(value, ModuleType) and not {*missing(plan.roles)} - {"x"}:
            return plan, root
    return Plan(), ""


def _as_it_is(model: Any, name: str, given: Mapping[str, Setting]) -> Asked:
    """Return a model that stands in the file, which takes no settings."""
    if given:
        raise Refusal("settings", next(iter(given)))
    return ModelCallee(lambda: model, {}, name, {})


def _built(
    build: Callable[..., Any],
    name: str,
    named: Mapping[str, str],
    given: Mapping[str, Setting],
    scope: Mapping[str, Any],
) -> Asked:
    """Return the model that a function, or a class, builds, at any size that it takes."""
    roles, needed = builder_roles(build, named, given, follow=True)
    shown = ", ".join(inspect.signature(build).parameters)
    if needed:
        raise Refusal("needed", ", ".join(needed), shown)
    for parameter in given:
        if parameter not in inspect.signature(build).parameters:
            raise Refusal("settings", parameter, shown)
    parameters = {role: parameter for parameter, role in roles.items()}

    def built(**chosen: Any) -> Any:
        try:
            made = build(**chosen)
        except Exception as error:
            failure = failure_of(error, "build")
            raise Refusal("build", f"{failure.type}: {failure.message}", failure.line) from error
        model = model_in(made)
        if model is None:
            raise Refusal("not a model", type(made).__name__)
        return model

    return ModelCallee(built, parameters, name, scope)


def _module(file: str) -> ModuleType:
    """Return the user's file as a module; with relative imports, as one of its package."""
    path = Path(file)
    dots = re.findall(r"^\s*from\s+(\.+)", path.read_text("utf-8", "replace"), re.MULTILINE)
    root, parts = path.parent, [path.stem]
    while (root / "__init__.py").is_file() or len(parts) <= max(map(len, dots), default=0):
        parts.insert(0, root.name)
        root = root.parent
    sys.path[:0] = [str(root), str(path.parent)]  # so that it can import its neighbours
    if dots:
        return _packaged(root, parts)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise Refusal("file", "no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _packaged(root: Path, parts: list[str]) -> ModuleType:
    """Return a module of a package; without what the package itself loads, if that fails."""
    try:
        importlib.import_module(".".join(parts[:-1]))
    except Exception:
        for n in range(1, len(parts)):
            package = ModuleType(".".join(parts[:n]))
            package.__path__ = [str(root.joinpath(*parts[:n]))]
            sys.modules[package.__name__] = package
    return importlib.import_module(".".join(parts))


def _attribute(module: ModuleType, name: str) -> tuple[Any, Any]:
    """Return what a dotted name in a module is, and what it is an attribute of."""
    owner: Any = module
    found: Any = module
    for part in name.split("."):
        owner = found
        if not hasattr(owner, part):
            functions = [n for n, v in vars(owner).items() if inspect.isfunction(v)]
            own = [n for n in functions if getattr(owner, n).__module__ == module.__name__]
            near = get_close_matches(part, own, n=1)
            raise Refusal("name", ", ".join(own[:8]), near[0] if near else "")
        found = getattr(owner, part)
    return owner, found
