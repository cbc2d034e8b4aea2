"""A model that answers what it is asked for: for ``loss_fn(model, x)``, or inside a user's own.

What a call of ``model``, ``model.encode`` or ``self.decoder`` has to give is read off the names
that its answer is unpacked into, else off its own name.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from lossbench.audit.signature import (
    SIZES,
    Refusal,
    Want,
    missing,
    roles_in,
    usual_role,
    wanted,
)
from lossbench.audit.source import Called, Reading, read, underlying
from lossbench.audit.tensors import Values

Path = tuple[str, ...]

_ENCODE = "encode encoder enc encodernet inferencenet inference qnet recognition recognitionmodel"
_ENCODE += " inferencemodel encoding encodermodel getlatent q"
_DECODE = "decode decoder dec decodernet generate generator generativenet pnet decodermodel"
_SAMPLE = "reparameterize reparametrize reparam reparameterise sample sampling samplez sampler "
_SAMPLE += "reparameterization reparametrization reparametrizationtrick samplelatent rsample"
_FORWARD = ("", "forward", "call", "apply")
_LATENT = {"z_mean", "z_log_var", "z_std", "z_var", "z_spread", "posterior"}
_TOLD = {*_LATENT, "x_hat", "latents"}
_VAGUE = (
    "out",
    "output",
    "outputs",
    "y",
    "logits",
    "p",
    "o",
    "pred",
    "decoded",
    "preds",
    "rec",
    "x1",
)
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
        if key in self._inside:
            return self._inside[key]
        role = wanted(key)
        if role in ("", *SIZES):
            raise KeyError(key)
        return self._values[str(role)]

    def __getattr__(self, name: str) -> Any:
        """Return the role of that name."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and (key in self._inside or wanted(key) not in ("", *SIZES))

    def get(self, key: str, default: Any = None) -> Any:
        """Return the role of that name, or the default."""
        return self[key] if key in self else default  # noqa: SIM401 - this is that get


def produced(values: Values, want: Want) -> Any:
    """Return what is wanted: a tensor, or several in an object that answers by any name."""
    if isinstance(want, str):
        return values[want or "z"]
    unknown = "z" if roles_in(want) & {*_TOLD, "z"} else "label"
    inside = want if isinstance(want, dict) else {}
    found = Fields(produced(values, each or unknown) for each in inside.values() or want)
    found._values = values
    found._inside = dict(zip(inside, found, strict=False))
    return found


@dataclass
class Plan:
    """What is asked of the model ``root``: ``calls`` by path below it, ``fields`` read from it."""

    root: str = ""
    calls: dict[Path, Want] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)
    swallowed: list[str] = field(default_factory=list)

    @property
    def roles(self) -> set[str]:
        """Every role that the model will be asked for."""
        return set().union(*map(roles_in, self.calls.values()))

    def add(self, other: "Plan") -> None:
        """Take over what another part of the same function asks for."""
        for path, want in other.calls.items():
            self.calls.setdefault(path, want)
        self.fields += other.fields
        self.swallowed += other.swallowed


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
    heads = {path[0] for path in plan.calls if path}
    plan.fields += [name for name in reading.fields.get(root, ()) if name not in heads]
    return plan


def _read_call(
    plan: Plan, reading: Reading, called: Called, owner: Any, seen: tuple[Any, ...]
) -> None:
    path = called.path[1:]
    method = path[-1] if path else ""
    if method in _SWALLOWED or method in _ITSELF or method in _EMPTY:
        plan.swallowed += [method] if method in _SWALLOWED else []
        return
    want = _settled(reading, called, method)
    if owner is None:
        plan.calls.setdefault(path, want or _usual(method, 0))
        return
    inner = _own(owner, path)
    deeper = planned(inner, "self", owner, seen) if inner is not None else Plan()
    if method in _FORWARD:
        if not set(missing(deeper.roles)) - {"x"} or (deeper.roles and not roles_in(want) & _TOLD):
            plan.add(deeper)
        elif roles_in(want) & _TOLD:
            plan.calls.setdefault(path, want)
    elif _is(method, _SAMPLE):
        if inner is None and "z" in roles_in(want):
            plan.calls.setdefault(path, "z")
    elif want == "posterior" and deeper.roles & _TOLD:
        plan.add(deeper)
    elif roles_in(want) & _TOLD:
        plan.calls.setdefault(path, want)
    else:
        plan.add(deeper)


def _own(owner: Any, path: Path) -> Any:
    """Return the user's own method at a path of length 0 or 1, or nothing."""
    if len(path) > 1:
        return None
    names = path or ("forward", "call", "__call__")
    for name in names:
        found = underlying(getattr(owner, name, None))
        if isinstance(found, FunctionType) and not found.__module__.startswith(
            ("torch.", "keras.")
        ):
            return found
    return None


def _settled(reading: Reading, called: Called, method: str) -> Want:  # noqa: PLR0911 - as above
    """Return what a call has to give, by the names of its answer; nothing where these say none."""
    names = called.names
    if isinstance(names, str):
        if names in reading.unpacked:
            names = reading.unpacked[names]
        elif usual_role(names) != "posterior" and any(
            usual_role(key) in _TOLD for key in reading.keys(names)
        ):
            names = tuple(key for key in reading.keys(names) if wanted(key))
    if isinstance(names, tuple):
        wants = wanted(names)
        usual = _usual(method, len(names))
        if isinstance(wants, tuple) and isinstance(usual, tuple):
            free = [role for role in usual if role not in roles_in(wants)]
            wants = tuple(w or (free.pop(0) if free else "") for w in wants)
        if _is(method, _DECODE) and isinstance(wants, tuple) and not wants[0]:
            wants = ("x_hat", *wants[1:])
        return wants
    role = wanted(names) if names else ""
    if _is(method, _ENCODE):
        if called.halved or (names and role not in _LATENT):
            return "latents"
        return role or _usual(method, 0)
    if _is(method, _DECODE):
        return "x_hat"
    if _is(method, _SAMPLE):
        return "z"
    if method in _FORWARD:
        return role if role in _TOLD else ""
    vague = isinstance(names, str) and names.lower() in _VAGUE
    return role if role in {*_TOLD, "z"} and not vague else ""


def _usual(method: str, n: int) -> Want:
    """Return what a method of that name gives as a rule, as ``n`` things where that is known."""
    if _is(method, _ENCODE):
        return ("z_mean", "z_log_var", "z")[: n or 2]
    if _is(method, _DECODE):
        return "x_hat"
    if _is(method, _SAMPLE):
        return "z"
    return ("x_hat", "z_mean", "z_log_var", "z")[: n or 3] if method in _FORWARD else ""


def _is(method: str, words: str) -> bool:
    return method.lower().replace("_", "") in words.split() and bool(method)


class Stub:
    """A model in name only: it gives what it is asked for, whatever it is given."""

    def __init__(
        self, values: Values, plan: Plan, given: Mapping[str, Any], name: str, path: Path = ()
    ) -> None:
        self.__dict__.update(_values=values, _plan=plan, _given=given, _name=name, _path=path)

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Return what is wanted of this path."""
        want = self._plan.calls.get(self._path) or _usual(self._path[-1] if self._path else "", 0)
        if not want:
            raise Refusal("model", ".".join((self._name, *self._path)))
        return produced(self._values, want)

    def __getattr__(self, name: str) -> Any:  # noqa: PLR0911 - a case for every kind
        """Return a part of the model, or a number that was set; ``Refusal`` for anything else."""
        if name.startswith("__"):
            raise AttributeError(name)
        full = ".".join((self._name, *self._path, name))
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
        path = (*self._path, name)
        within = any(known[: len(path)] == path for known in self._plan.calls)
        if within or _usual(name, 0):
            return Stub(self._values, self._plan, self._given, self._name, path)
        if usual_role(name) in SIZES:
            return self._values[usual_role(name)]
        raise Refusal("needed", full)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{self._name}.{name} cannot be set: {self._name} is a stand-in")


class Config:
    """A configuration: it answers by key and by attribute what was set as ``name.key``."""

    def __init__(self, values: Values, given: Mapping[str, Any], name: str) -> None:
        self._values, self._given, self._name = values, given, name

    def __getitem__(self, key: str) -> Any:
        """Return what was set, or a size; ``Refusal`` for anything else."""
        path = f"{self._name}.{key}"
        if path in self._given:
            return self._given[path]
        if usual_role(key) in SIZES:
            return self._values[usual_role(key)]
        raise Refusal("needed", path)

    def __getattr__(self, key: str) -> Any:
        """Return what was set, or a size; ``Refusal`` for anything else."""
        if key.startswith("_"):
            raise AttributeError(key)
        return self[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return what was set, or the default."""
        return self._given.get(f"{self._name}.{key}", default)


def needed_of(plan: Plan, name: str, given: Mapping[str, Any]) -> list[str]:
    """Return the numbers that a stub is asked for and does not have."""
    known = (*_ITSELF, *_EMPTY, *_SWALLOWED, "training")
    return [
        f"{name}.{each}"
        for each in dict.fromkeys(plan.fields)
        if each not in known
        and each not in given
        and f"{name}.{each}" not in given
        and usual_role(each) not in SIZES
        and not _usual(each, 0)
    ]


@contextmanager
def attached(owner: Any, plan: Plan, values: Values) -> Iterator[None]:
    """Replace the parts of a user's own model, for one call, by what gives what is wanted."""
    own, before = type(owner), list[tuple[dict[str, Any], str, Any]]()

    def put(holder: Any, name: str, value: Any) -> None:
        before.append((vars(holder), name, vars(holder).get(name, before)))
        vars(holder)[name] = value

    try:
        for path, want in plan.calls.items():
            answer = _answering(values, want)
            if not path:
                owner.__class__ = type(own.__name__, (own,), {"__call__": answer})
                continue
            holder = owner
            for part in path[:-1]:
                holder = getattr(holder, part)
            put(holder, path[-1], answer)
        for name in plan.swallowed:
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


def _answering(values: Values, want: Want) -> Callable[..., Any]:
    return lambda *_, **__: produced(values, want)
