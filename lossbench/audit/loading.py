"""A user's file and the name of something in it in; a loss that can be asked out."""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from lossbench.audit.answer import Ask, Failure
from lossbench.audit.callee import Callee, failure_of
from lossbench.audit.models import ModelCallee, is_model
from lossbench.audit.probe import Setting
from lossbench.audit.roles import FOUR, SIZES, read_signature, usual_role


class Refusal(Exception):  # noqa: N818 - it is a value for the parent, not an error here
    """Why something cannot be audited, as plain values."""

    def __init__(self, stage: str, message: str, line: str = "") -> None:
        super().__init__(message)
        self.failure = Failure(stage, "", message, line)


def load(file: str, name: str, named: Mapping[str, str], given: Mapping[str, Setting]) -> Ask:
    """Return the loss or the model called ``name`` in ``file``, ready to be asked.

    ``Refusal`` says why there is none. A function that takes none of the usual four builds a
    Keras model.
    """
    loss = _attribute(_module(file), name)
    if is_model(loss):
        return ModelCallee(lambda: loss, {}, name)
    if inspect.isclass(loss) or not callable(loss):
        raise Refusal("kind", f"a {'class' if inspect.isclass(loss) else type(loss).__name__}")
    return from_function(loss, name, named, given)


def from_function(
    loss: Callable[..., object],
    name: str,
    named: Mapping[str, str],
    given: Mapping[str, Setting],
) -> Ask:
    """Return a function as something that can be asked; ``Refusal`` if its arguments do not fit."""
    try:
        signature = read_signature(loss, named, given)
    except (TypeError, ValueError) as error:
        raise Refusal("arguments", f"no signature: {error}") from None
    shown = ", ".join(signature.names)
    for role, parameter in named.items():
        if parameter not in signature.names:
            raise Refusal("args", f"{role}={parameter}", shown)
    takes = inspect.signature(getattr(loss, "forward", loss)).parameters.values()
    if not any(p.kind is p.VAR_KEYWORD for p in takes):
        for parameter in given:
            if parameter not in signature.names:
                raise Refusal("settings", parameter, shown)
    found = set(signature.arguments.values())
    if not found & set(FOUR):
        if any(usual_role(n) not in SIZES and n not in given for n in signature.needed):
            raise Refusal("arguments", ", ".join(signature.missing), shown)
        return _built(loss, name, signature.names, given)
    if signature.missing:
        raise Refusal("arguments", ", ".join(signature.missing), shown)
    if signature.needed:
        raise Refusal("needed", ", ".join(signature.needed), shown)
    return Callee(loss, signature, name)


def _built(
    build: Callable[..., Any], name: str, parameters: tuple[str, ...], given: Mapping[str, Setting]
) -> Ask:
    """Return the model that a function builds, at any size that it takes."""
    sizes = {usual_role(n): n for n in parameters if n not in given and usual_role(n) in ("d", "k")}

    def built(**chosen: int) -> Any:
        try:
            model = build(**{sizes[role]: size for role, size in chosen.items()}, **given)
        except Exception as error:
            raise Refusal("build", *_told(error)) from error
        if not is_model(model):
            raise Refusal("not a model", type(model).__name__)
        return model

    return ModelCallee(built, sizes, name)


def _told(error: Exception) -> tuple[str, str]:
    failure = failure_of(error, "build")
    return f"{failure.type}: {failure.message}", failure.line


def _module(file: str) -> ModuleType:
    path = Path(file)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise Refusal("file", "no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # so that it can import its neighbours
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _attribute(module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            functions = [n for n, v in vars(module).items() if inspect.isfunction(v)]
            own = [n for n in functions if getattr(module, n).__module__ == module.__name__]
            near = get_close_matches(name, own, n=1)
            raise Refusal("name", ", ".join(own[:8]), near[0] if near else "")
        found = getattr(found, part)
    return found
