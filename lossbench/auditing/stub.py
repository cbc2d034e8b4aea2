"""A model that answers what it is asked for: for ``loss_fn(model, x)``, or inside a user's own.

What a call of ``model``, ``model.encode`` or ``self.decoder`` has to give is read off the names
that its answer is unpacked into, else off its own name.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from lossbench.auditing.signature import (
    FOUR,
    MODELS,
    SIZES,
    Refusal,
    Want,
    missing,
    plain,
    roles_in,
    usual_role,
    wanted,
)
from lossbench.auditing.source import Called, Reading, read, underlying
from lossbench.auditing.tensors import Values

Path = tuple[str, ...]

_METHODS = {
    "encode": "encode encoder enc encodernet inferencenet inference qnet recognition encoding q "
    "recognitionmodel inferencemodel encodermodel getlatent",
    "decode": "decode decoder dec decodernet generate generator generativenet pnet decodermodel",
    "sample": "reparameterize reparametrize reparam reparameterise sample sampling samplez sampler "
    "reparameterization reparametrization reparametrizationtrick samplelatent rsample",
    "forward": "forward call apply",
}
_METHOD_OF = {name: method for method, names in _METHODS.items() for name in names.split()}
_GIVEN: Mapping[str, Want] = {  # by a method as a rule
    "encode": ("z_mean", "z_log_var", "z"),
    "decode": "x_hat",
    "sample": "z",
    "forward": ("x_hat", "z_mean", "z_log_var", "z"),
}
_LATENT = {"z_mean", "z_log_var", "z_std", "z_var", "z_spread", "posterior"}
_TOLD = {*_LATENT, "x_hat", "latents"}
_VAGUE = "out output outputs y logits p o pred decoded preds rec x1"  # names of anything
_ITSELF = ("train", "eval", "to", "cuda", "cpu", "zero_grad", "double", "float")
_EMPTY = ("losses", "parameters", "trainable_variables", "trainable_weights", "variables")
_SWALLOWED = ("log", "log_dict", "print")


class Fields(tuple[Any, ...]):
    """What answers by place, by key and by attribute, under any usual name of a role."""

    _values: Values
    _inside: dict[str, Any]

    def __getitem__(self, key: Any) -> Any:
        """Return a place, or the role of that name; ``KeyError`` for a name that is none."""
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key not in self:
            raise KeyError(key)
        return self._inside[key] if key in self._inside else self._values[str(wanted(key))]

    def __getattr__(self, name: str) -> Any:
        """Return the role of that name."""
        if name.startswith("_") or name not in self:
            raise AttributeError(name)
        return self[name]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and (key in self._inside or wanted(key) not in ("", *SIZES))

    def get(self, key: str, default: Any = None) -> Any:
        """Return the role of that name, or the default."""
        return self[key] if key in self else default  # noqa: SIM401 - this is that get


def produced(values: Values, want: Want) -> Any:
    """Return what is wanted: a tensor, or several in an object that answers by any name."""
    if isinstance(want, str):
        return values[want or "z"]
    want = want or FOUR
    unknown = "z" if roles_in(want) & {*_TOLD, "z"} else "label"
    inside = want if isinstance(want, dict) else {}
    found = Fields(produced(values, each or unknown) for each in inside.values() or want)
    found._values = values
    found._inside = dict(zip(inside, found, strict=False))
    return found


@dataclass
class Plan:
    """What is asked of the model ``root``: ``calls`` by path below it, ``fields`` read from it.

    ``unknown`` are the lines with calls of its parts that may give anything.
    """

    root: str = ""
    calls: dict[Path, Want] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def roles(self) -> set[str]:
        """Every role that the model will be asked for."""
        return set().union(*map(roles_in, self.calls.values()))

    def add(self, other: "Plan") -> None:
        """Take over what another part of the same function asks for."""
        self.calls = other.calls | self.calls
        self.fields += other.fields
        self.unknown += other.unknown


def planned(function: Any, root: str, owner: Any = None, seen: tuple[Any, ...] = ()) -> Plan:
    """Return what a function, and what it calls, asks of its argument ``root``.

    ``owner`` is the class, or the object, whose own methods are read too: these are left as they
    are where what they call can be replaced.
    """
    plan = Plan(root)
    function = underlying(function)
    if not isinstance(function, FunctionType) or function in seen or len(seen) > 5:
        return plan
    reading, seen = read(function), (*seen, function)
    for called in reading.called:
        if called.path[0] == root:
            _read_call(plan, reading, called, owner, seen)
    for name, path, at in reading.passed:  # handed on to a function of the same file
        inner = underlying(function.__globals__.get(path[0])) if len(path) == 1 else None
        if name == root and isinstance(inner, FunctionType):
            names = list(inspect.signature(inner).parameters)
            if at < len(names):
                plan.add(planned(inner, names[at], owner, seen))
    known = {*_ITSELF, *_EMPTY, *_SWALLOWED, "training", *(path[0] for path in plan.calls if path)}
    asked = reading.fields.get(root, ())
    plan.fields += [name for name in asked if name not in known and not _usual(name)]
    return plan


def _read_call(
    plan: Plan, reading: Reading, called: Called, owner: Any, seen: tuple[Any, ...]
) -> None:
    path = called.path[1:]
    method = path[-1] if path else ""
    if method in (*_SWALLOWED, *_ITSELF, *_EMPTY):
        return
    want = _settled(reading, called, method)
    if owner is None:
        plan.calls.setdefault(path, want or _usual(method))
        return
    inner = _own(owner, path)
    deeper = planned(inner, "self", owner, seen) if inner is not None else Plan()
    tells = bool(roles_in(want) & _TOLD)
    kind = _kind(method)
    if kind == "encode" and {"z_mean", "z_log_var"} & {*missing(roles_in(want))}:
        tells = False  # one of both does not do
    whole = not set(missing(deeper.roles)) - {"x"}
    match kind:
        case "forward":
            into = whole or bool(deeper.roles and not tells)
        case "sample":
            tells, into = inner is None and "z" in roles_in(want), False
        case _:
            less = want == "posterior" or (whole and {*missing(roles_in(want))} - {"x"})
            into = not tells or bool(less and deeper.roles & _TOLD)
    if into:
        plan.add(deeper)
    elif tells:
        plan.calls.setdefault(path, want)
    if kind and kind != "sample" and not tells and not deeper.calls and not deeper.unknown:
        plan.unknown.append(called.line)


def _own(owner: Any, path: Path) -> Any:
    """Return the user's own method at a path of length 0 or 1, or nothing."""
    for name in (path or ("forward", "call", "__call__")) if len(path) < 2 else ():
        found = underlying(getattr(owner, name, None))
        library = ("torch.", "keras.")
        if isinstance(found, FunctionType) and not found.__module__.startswith(library):
            return found
    return None


def _settled(reading: Reading, called: Called, method: str) -> Want:
    """Return what a call has to give, by the names of its answer; nothing where these say none."""
    names, kind = called.names, _kind(method)
    if isinstance(names, str):
        keys = reading.keys(names)
        if names in reading.unpacked:
            names = reading.unpacked[names]
        elif usual_role(names) != "posterior" and {*map(usual_role, keys)} & _TOLD:
            names = tuple(key for key in keys if wanted(key))
    want = wanted(names) if names else ""
    if isinstance(names, tuple):
        usual = _usual(method, len(names))
        if isinstance(want, tuple) and isinstance(usual, tuple):
            free = [role for role in usual if role not in roles_in(want)]
            want = tuple(w or (free.pop(0) if free else "") for w in want)
        if kind == "decode" and isinstance(want, tuple) and not want[0]:
            want = ("x_hat", *want[1:])
        return want
    match kind:
        case "encode" if called.halved or (names and want not in _LATENT):
            return "latents"
        case "encode":  # what is taken apart in another way may hold anything
            return want or ("" if called.then else _usual(method))
        case "decode" | "sample":
            return _usual(method)
        case "forward":
            return want if want in _TOLD else ""
    return want if want in {*_TOLD, "z"} and names.lower() not in _VAGUE.split() else ""


def _kind(method: str) -> str:
    """Return what a method of that name does as a rule; a model itself goes forward."""
    if not method or plain(method) in MODELS:
        return "forward"
    return _METHOD_OF.get(plain(method), "")


def _usual(method: str, n: int = 0) -> Want:
    """Return what a method of that name gives as a rule, as ``n`` things where that is known."""
    given = _GIVEN.get(_kind(method), "")
    return given[: n or len(given) - 1] if isinstance(given, tuple) else given


class Stub:
    """A model or a configuration in name only: it gives what it is asked for, or what was set."""

    def __init__(
        self, values: Values, plan: Plan, given: Mapping[str, Any], name: str, path: Path = ()
    ) -> None:
        self.__dict__.update(_values=values, _plan=plan, _given=given, _name=name, _path=path)

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Return what is wanted of this path."""
        want = self._plan.calls.get(self._path) or _usual(self._path[-1] if self._path else "")
        if not want:
            raise Refusal("model", ".".join((self._name, *self._path)))
        return produced(self._values, want)

    def __getattr__(self, name: str) -> Any:  # noqa: PLR0911 - a case for every kind
        """Return what was set, a size, or a part of the model; ``Refusal`` for anything else."""
        if name.startswith("__"):
            raise AttributeError(name)
        path = (*self._path, name)
        full = ".".join((self._name, *path))
        for known in (full, name):
            if known in self._given:
                return self._given[known]
        if name == "training":
            return self._values.probe.training
        if name in _ITSELF:
            return lambda *_, **__: self
        if name in _EMPTY:
            return [] if name != "parameters" else (lambda: iter(()))
        if name in _SWALLOWED:
            return lambda *_, **__: None
        if any(known[: len(path)] == path for known in self._plan.calls) or _usual(name):
            return Stub(self._values, self._plan, self._given, self._name, path)
        if usual_role(name) in SIZES:
            return self._values[usual_role(name)]
        raise Refusal("needed", full)

    def __getitem__(self, key: str) -> Any:
        """Return what was set, or a size."""
        return getattr(self, key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return what was set, or the default."""
        return self._given.get(f"{self._name}.{key}", default)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{self._name}.{name} cannot be set: {self._name} is a stand-in")


@contextmanager
def attached(owner: Any, plan: Plan, values: Values) -> Iterator[None]:
    """Replace the parts of a user's own model, for one call, by what gives what is wanted."""
    own, before = type(owner), list[tuple[dict[str, Any], str, Any]]()

    def put(holder: Any, name: str, value: Any) -> None:
        before.append((vars(holder), name, vars(holder).get(name, before)))
        vars(holder)[name] = value

    try:
        for path, want in plan.calls.items():
            if not path:
                whole = _Part(None, values, want)
                called = {"__call__": lambda *_, whole=whole, **__: whole()}
                owner.__class__ = type(own.__name__, (own,), called)
                continue
            holder = owner
            for part in path[:-1]:
                holder = getattr(holder, part)
            put(holder, path[-1], _Part(getattr(holder, path[-1], None), values, want))
        for name in _SWALLOWED:
            put(owner, name, lambda *_, **__: None)
        yield
    finally:
        if type(owner) is not own:
            owner.__class__ = own
        for holder, name, value in reversed(before):
            if value is before:
                del holder[name]
            else:
                holder[name] = value


class _Part:
    """A part of a user's own model that answers what is wanted, and is else as it was."""

    def __init__(self, part: Any, values: Values, want: Want) -> None:
        self._part, self._values, self._want = part, values, want

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Return what is wanted."""
        return produced(self._values, self._want)

    def __getattr__(self, name: str) -> Any:
        """Return what the part itself has under that name."""
        return getattr(self._part, name)
