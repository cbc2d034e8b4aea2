"""From a user's file and a name in it to something that answers probes."""

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from lossbench.auditing.callee import Callee, Made, failure_of
from lossbench.auditing.keras_model import ModelCallee, is_model, model_in
from lossbench.auditing.probe import Setting
from lossbench.auditing.signature import (
    FOUR,
    MODELS,
    Refusal,
    Signature,
    builder_roles,
    fields_needed,
    missing,
    plain,
    read_signature,
    usual_role,
)
from lossbench.auditing.source import entry, made_by, read, underlying
from lossbench.auditing.stub import Plan, planned

_NETWORKS = ("params", "variables", "state", "parameters", "weights")  # of JAX, as a rule
_LOSSES = ("loss", "elbo", "objective", "step", "bound", "criterion")
Asked = Callee | ModelCallee  # it answers probes, and says how it is called


def load(file: str, name: str, named: Mapping[str, str], given: Mapping[str, Setting]) -> Asked:
    """Return the loss or the model called ``name`` in ``file``, ready to be asked.

    ``Refusal`` says why there is none. A function that takes none of the usual four builds a
    Keras model; a class, or what stands in one, has an object made of it.
    """
    module = _module(file)
    owner, loss = _attribute(module, name)
    loading = _Loading(name, named, given, vars(module))
    method = name.rpartition(".")[2]
    if inspect.isclass(loss):
        return loading.of_class(loss, "")
    if inspect.isclass(owner) and callable(loss) and not is_model(loss):
        bound = isinstance(inspect.getattr_static(owner, method), staticmethod | classmethod)
        if not bound:
            return loading.of_class(owner, method)
    if not callable(loss):
        raise Refusal("kind", f"a {type(loss).__name__}")
    return loading.of_object(loss)


def from_function(
    loss: Callable[..., Any],
    name: str,
    named: Mapping[str, str],
    given: Mapping[str, Setting],
) -> Asked:
    """Return a function, or anything callable, as something that can be asked.

    ``Refusal`` if its arguments do not fit.
    """
    scope = getattr(underlying(loss), "__globals__", {})
    return _Loading(name, named, given, scope).of_object(loss)


@dataclass(frozen=True)
class _Loading:
    """What was said of a loss: its name, ``ROLE=PARAMETER``, settings; ``scope`` holds its file."""

    name: str
    named: Mapping[str, str]
    given: Mapping[str, Setting]
    scope: Mapping[str, Any]

    def of_object(self, loss: Any) -> Asked:
        """Return a function, a callable object or a model as it is."""
        if not is_model(loss):
            return self._callee(loss, loss, getattr(entry(loss), "__self__", None))
        if self.given:
            raise Refusal("settings", next(iter(self.given)))
        return ModelCallee(lambda: loss, {}, self.name, {})

    def of_class(self, kind: type, method: str) -> Asked:
        """Return a method of a class, or a class whose objects are called, with an object made."""
        keras = any(
            each.__name__ == "Model" and "keras" in each.__module__ for each in kind.__mro__
        )
        if keras and method in ("", "train_step"):
            return self._built(kind)
        function = getattr(kind, method, None) if method else _entry_of(kind)
        if function is None:
            raise Refusal("kind", f"a class{_methods(kind)}")
        return self._callee(Made(kind, method, function, self.named, self.given), function, kind)

    def _callee(self, loss: Any, function: Callable[..., Any], owner: Any) -> Asked:
        """Return what answers for a function of ``owner``, the class or the object."""
        made = isinstance(loss, Made)
        own = loss.names if made and inspect.isfunction(getattr(owner, "__init__", None)) else ()
        given = {name: value for name, value in self.given.items() if name not in own}
        try:
            signature = read_signature(function, self.named, given, int(made))
        except (TypeError, ValueError) as error:
            raise Refusal("arguments", f"no signature: {error}") from None
        shown = ", ".join(signature.names)
        for role, parameter in self.named.items():
            if parameter not in (*signature.names, *own):
                raise Refusal("args", f"{role}={parameter}", shown)
        plan, needed = Plan(), list(signature.needed)
        model = next((n for n, want in signature.arguments.items() if want == "model"), "")
        if model:
            plan = planned(function, model)
            needed += fields_needed(model, plan.fields, given)
        elif owner is not None and signature.missing:
            plan = planned(function, "self", owner)
        elif signature.missing:
            plan, owner = _global_model(function)
        roles = signature.roles | plan.roles
        lacking = missing(roles) if signature.missing else ()
        if lacking and not roles & {*FOUR, "model"}:
            sizes, others = builder_roles(function, self.named, given, follow=True)
            if owner is None and (sizes or not others):
                return self._built(function)
        if lacking:
            raise _lacking(function, signature, lacking, plan)
        if {*needed} & {*_NETWORKS}:
            raise _lacking(function, signature, FOUR[1:], plan)
        if needed:
            raise Refusal("needed", ", ".join(needed), shown)
        if any(each.__name__ == "Loss" and "keras" in each.__module__ for each in _mro(owner)):
            by_place = len(signature.names)  # its call has names of its own
            signature = replace(signature, n_by_place=by_place, bare=True)
        return Callee(loss, signature, self.name, self.scope, plan, owner)

    def _built(self, build: Callable[..., Any]) -> Asked:
        """Return the model that a function, or a class, builds, at any size that it takes."""
        roles, needed = builder_roles(build, self.named, self.given, follow=True)
        parameters = inspect.signature(build).parameters
        if needed:
            raise Refusal("needed", ", ".join(needed), ", ".join(parameters))
        for parameter in self.given:
            if parameter not in parameters:
                raise Refusal("settings", parameter, ", ".join(parameters))

        def built(**chosen: Any) -> Any:
            try:
                made = build(**chosen)
            except Exception as error:
                failure = failure_of(error, "build")
                said = f"{failure.type}: {failure.message}"
                raise Refusal("build", said, failure.line) from error
            model = model_in(made)
            if model is None:
                raise Refusal("not a model", type(made).__name__)
            return model

        sizes = {role: parameter for parameter, role in roles.items()}
        return ModelCallee(built, sizes, self.name, self.scope)


def _lacking(
    function: Callable[..., Any], signature: Signature, lacking: tuple[str, ...], plan: Plan
) -> Refusal:
    """Return why nothing can be asked; ``plan`` has what of a user's own model can be."""
    shown = ", ".join(signature.names)
    made = made_by(function)
    if made and not {*lacking} - {"x", "x_hat"} and len(made) == len(lacking):
        roles = {name: want for name, want in signature.arguments.items() if isinstance(want, str)}
        outer = ", ".join(roles.get(name, name) for name in signature.names)
        inner = [usual_role(name) for name in made]
        inner = inner if {*inner} == {*lacking} else list(lacking)
        call = f"{underlying(function).__name__}({outer})({', '.join(inner)})"
        return Refusal("closure", call, ", ".join(FOUR))
    networks = [name for name in signature.names if name in _NETWORKS or plain(name) in MODELS]
    if networks:
        return Refusal("network", ", ".join(networks), f"{shown}; {', '.join(lacking)}")
    if plan.unknown and lacking != ("x",):
        return Refusal("parts", ", ".join(lacking), "\n".join(dict.fromkeys(plan.unknown)))
    candidate = signature.needed[0] if len(signature.needed) == len(lacking) == 1 else ""
    return Refusal("arguments", ", ".join(lacking), f"{shown}; {candidate}")


def _entry_of(kind: type) -> Any:
    """Return what a call of an object of a class carries out, if that stands in a user's code."""
    for name in ("forward", "call", "__call__"):
        found = getattr(kind, name, None)
        library = getattr(found, "__module__", "") or ""
        if inspect.isfunction(found) and not library.startswith(("torch.", "keras.")):
            return found
    return None


def _mro(owner: Any) -> tuple[type, ...]:
    return (owner if isinstance(owner, type) else type(owner)).__mro__


def _methods(kind: type) -> str:
    names = [n for n, v in vars(kind).items() if inspect.isfunction(v)]
    losses = [n for n in names if any(word in n.lower() for word in _LOSSES)]
    return f" with {', '.join(f'{kind.__name__}.{n}' for n in losses)}" if losses else ""


def _global_model(function: Callable[..., Any]) -> tuple[Plan, Any]:
    """Return what a function asks of a model that stands in its file, and that model."""
    known = getattr(underlying(function), "__globals__", {})
    for root in dict.fromkeys(called.path[0] for called in read(function).called):
        value = known.get(root)
        if value is None or isinstance(value, type | ModuleType) or inspect.isroutine(value):
            continue
        plan = planned(function, root, value)
        if not {*missing(plan.roles)} - {"x"}:
            return plan, value
    return Plan(), None


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
