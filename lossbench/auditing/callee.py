"""A user's function, method, object or class as something that answers probes."""

import ast
import dataclasses
import inspect
import itertools
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lossbench.arrays import to_array
from lossbench.auditing.probe import BRACKETS, Probe, Setting
from lossbench.auditing.records import Answer, Failure, Found, Moved, Output
from lossbench.auditing.signature import (
    FOUR,
    ORDERS,
    SIZES,
    Refusal,
    Signature,
    Want,
    builder_roles,
    kept_at,
    told,
    usual_role,
)
from lossbench.auditing.state import State
from lossbench.auditing.stub import Plan, Stub, attached, produced
from lossbench.auditing.tensors import Maker, Values, makers, seed_everything
from lossbench.auditing.total import Total
from lossbench.loss import evaluate

_HERE = str(Path(__file__).parent)
_MOST_OUTPUTS = 64
_MOST_MADE = 24
_RETURNED = ("x", "x_hat", "z_mean", "z_log_var", "z")
_LEVELS = (0.25, 0.5, 0.75)


class Made:
    """A class as a function of sizes and settings: an object for each that its constructor takes.

    ``method`` is what is called of the object, ``""`` the object itself; ``function`` carries it
    out. ``Refusal`` where the constructor needs what nobody gave; an encoder and a decoder may be
    stand-ins.
    """

    def __init__(
        self,
        kind: type,
        method: str,
        function: Callable[..., object],
        named: Mapping[str, str],
        given: Mapping[str, Setting],
    ) -> None:
        self.kind, self.method, self.function = kind, method, function
        self.roles, needed = builder_roles(kind, named, given, follow=False)
        self._parts = [name for name in needed if name.lower() in ("encoder", "decoder")]
        parameters = inspect.signature(kind).parameters
        self.names = tuple(parameters)
        free = (p for name, p in parameters.items() if name not in (*self.roles, *given))
        self._kept = [note for p in free if (note := kept_at(p, usual_role(p.name)))]
        if len(needed) > len(self._parts):
            lacking = ", ".join(name for name in needed if name not in self._parts)
            raise Refusal("needed", lacking, f"{kind.__name__}({', '.join(self.names)})")

    def at(self, values: Values, given: Mapping[str, Any]) -> Any:
        """Return the method of a new object."""
        own = Plan()
        sizes = {name: _filled(values, given, name, role, own) for name, role in self.roles.items()}
        parts = dict.fromkeys(self._parts, _absent)
        seed_everything(0, values.maker.framework)
        made = self.kind(**sizes, **parts, **{n: v for n, v in given.items() if n in self.names})
        return getattr(made, self.method) if self.method else made

    def own(
        self, numbers: Mapping[str, float], values: Values, given: Mapping[str, Any]
    ) -> dict[str, float]:
        """Return those numbers of the object that follow nothing that it is made with."""
        sized = Values(values.probe, values.maker, {}, {})
        sized.made = {size: 2 * values[size] + 1 for size in SIZES}
        sized.made["shape"] = tuple(2 * side + 1 for side in values["shape"])
        ways = [(sized, dict(given))]
        for name in self.names:
            if type(given.get(name)) in (int, float):
                ways.append((values, {**given, name: 2 * given[name] + 1}))
        for other, with_ in ways:
            try:
                state = State(self.at(other, with_))
            except Exception:  # noqa: S112 - then it is not made so, and nothing moves with it
                continue
            numbers = {name: v for name, v in numbers.items() if state.numbers.get(name) == v}
        return dict(numbers)

    def notes(self, values: Values) -> Iterator[str]:
        """Yield how each argument of the constructor was filled."""
        yield f"{self.kind.__name__} is made anew"
        yield from self._kept
        for name, role in self.roles.items():
            if role != "config":
                yield told(name, role, values[role])
        for name in self._parts:
            yield f"{name} := a stand-in"


def _absent(*_: Any, **__: Any) -> Any:
    raise TypeError("the encoder and the decoder are stand-ins, which nobody asked by name")


def _filled(values: Values, given: Mapping[str, Any], name: str, want: Want, plan: Plan) -> Any:
    """Return what a parameter gets: a stand-in, of a model by its plan, or what is wanted."""
    if want in ("model", "config"):
        return Stub(values, plan if want == "model" else Plan(), given, name)
    return produced(values, want)


class Callee:
    """Calls a loss; the first call settles in which library and precision it takes tensors.

    ``scope`` holds the names of the user's file, which a setting may name; ``plan`` is what the
    loss asks of a model: of its argument, or of its ``owner``, an object.
    """

    def __init__(
        self,
        loss: Callable[..., object] | Made,
        signature: Signature,
        name: str,
        scope: Mapping[str, Any],
        plan: Plan,
        owner: Any = None,
    ) -> None:
        self._loss, self._signature, self.name = loss, signature, name
        self._scope, self._plan, self._owner = scope, plan, owner
        self._made = loss if isinstance(loss, Made) else None
        self._maker: Maker | None = None
        self._states: dict[tuple[object, ...], tuple[Any, State]] = {}
        self._star: Want = signature.star or ()
        forms = {f"{role} as": form for role, form in signature.forms.items()}
        self._alias = {"z_spread": "z_log_var", **forms}
        self._filled = signature.notes
        self._state: State | None = None
        self._numbers: Mapping[str, float] = {}
        self._asked: set[str] = set()

    def found(self) -> Found:
        """Return how the loss is called; known after its first call."""
        signature, state = self._signature, self._state
        arguments = {
            name: self._alias.get(want, want) if isinstance(want, str) else "fields"
            for name, want in signature.arguments.items()
        }
        roles = {*arguments.values(), *(self._alias.get(role, role) for role in self._asked)}
        spreads = ("z_log_var", "z_std", "z_var") if "posterior" not in roles else ()
        return Found(
            name=self.name,
            framework=self._maker.framework if self._maker else "",
            arguments=arguments,
            filled=self._filled,
            defaults={**signature.defaults, **self._numbers},
            parameters=(*signature.names, *signature.defaults),
            absent=signature.absent,
            varies=("d", "k", "B", *(["N"] if "N" in roles else [])),
            spread=next((role for role in spreads if role in roles), "z_log_var"),
            trained=state.trained if state else {},
        )

    @property
    def has_model(self) -> bool:
        """Whether it asks a model for what a probe says."""
        return bool(self._plan.calls)

    def begin(self, framework: str, probe: Probe) -> Answer:
        """Return its first answer, in single precision in a library that is known."""
        self._maker = Maker(framework, single=True)
        return self._begun(self._maker, probe)

    def value(
        self,
        probe: Probe,
        total: Total,
        tensors: Mapping[str, Any],
        mean: Callable[[Any], Any],
    ) -> Any:
        """Return the total of a call with ``tensors`` by role; all else is as in the probe.

        ``mean`` is taken of what the loss returns for each example.
        """
        values = Values(probe, self._maker or Maker(""), self._alias, self._scope)
        values.made |= tensors
        given = settings_of(probe, self._scope)
        loss, state = self._bound(values, given)
        ordered, named, _ = self._arguments(values, given, state)
        found = dict(_leaves(loss(*ordered, **named), "", 0))
        return total.of(lambda path: mean(found[path]))

    def __call__(self, probe: Probe) -> Answer:
        """Return the loss's answer to a probe."""
        if self._maker is not None:
            answer = self._called(self._maker, probe)
            if answer.failure and answer.failure.stage != "gradient" and not self._maker.single:
                again = self._called(replace(self._maker, single=True), probe)
                return again if again.failure is None else answer
            return answer
        tried: list[Answer] = []
        loss: Any = self._loss
        named, kind = loss, type(getattr(loss, "__self__", loss))
        if self._made:
            named, kind = self._made.function, self._made.kind
        for maker in makers(named, kind):
            answer = self._begun(maker, probe)
            if answer.failure is None and any(not out.type for out in answer.outputs):
                self._maker = maker
                return answer
            tried.append(answer)
        # Of failures that of single precision is told: it is none of mixed precisions.
        return next((answer for answer in tried if answer.failure is None), tried[1])

    def _begun(self, maker: Maker, probe: Probe) -> Answer:
        """Return the first answer in a library, with what it leaves open settled."""
        if self._signature.star == ():
            self._star = self._order(maker, probe)
        answer = self._called(maker, probe)
        if "z_spread" in self._asked and not _finite(answer):
            self._alias["z_spread"] = "z_var"
            other = self._called(maker, probe)
            if _finite(other):
                return other
            self._alias["z_spread"] = "z_log_var"
        plain = [form for form, kind in self._alias.items() if kind == "Normal"]
        if answer.failure and plain:  # it may want one number of each image
            self._alias |= dict.fromkeys(plain, "Independent")
            other = self._called(maker, probe)
            if _finite(other):
                return other
            self._alias |= dict.fromkeys(plain, "Normal")
        return answer

    def _order(self, maker: Maker, probe: Probe) -> Want:
        """Return the usual order of ``*args`` in which the loss is convex in the reconstruction.

        A likelihood is linear in its target, or takes it where the reconstruction cannot stand;
        of orders that are alike the first is taken.
        """
        for order in ORDERS:
            self._star = order
            seen = []
            for level in _LEVELS:
                at = replace(probe, x="binary", x_hat="level", level=level, patch=None)
                outputs = self._called(maker, at).outputs
                seen += [sum(o.mean for o in outputs if not o.type and not o.n_not_finite)]
            if seen[0] + seen[2] - 2 * seen[1] > 1e-6 * max(map(abs, seen)):
                return order
        return ()

    def _bound(self, values: Values, given: Mapping[str, Any]) -> tuple[Any, State]:
        """Return the loss and its state; an object made for these sizes and settings."""
        made, key = self._made, tuple[object, ...]()
        if made:
            own = (repr(v) for name, v in given.items() if name.partition(".")[0] in made.names)
            roles = tuple(made.roles.values())
            sized = (*SIZES, "shape") if "config" in roles else roles
            key = (*(values[role] for role in sized), *own)
        if key not in self._states:
            if len(self._states) >= _MOST_MADE:
                self._states.clear()
            loss = made.at(values, given) if made else self._loss
            self._states[key] = (loss, State(loss))
        return self._states[key]

    def _attached(self, loss: Any, values: Values) -> AbstractContextManager[None]:
        """Return what has the loss's own model say what the probe says, where it has one."""
        if not self._plan.calls or "model" in self._signature.arguments.values():
            return nullcontext()
        owner = getattr(loss, "__self__", loss) if self._made else self._owner
        return attached(owner, self._plan, values)

    def _called(self, maker: Maker, probe: Probe) -> Answer:
        unlearned = maker.framework == "torch" and not maker.learned
        if probe.along and (unlearned or maker.framework == "numpy"):
            return Answer(failure=Failure("gradient"))
        values = Values(probe, maker, self._alias, self._scope)
        state: State | None = None
        moved: list[Moved] = []
        try:
            given = settings_of(probe, self._scope)
            loss, state = self._bound(values, given)

            def returned() -> object:
                ordered, named, writes = self._arguments(values, given, state)
                seed_everything(probe.seed, maker.framework)
                state.prepare(writes, training=probe.training)
                with warnings.catch_warnings(), self._attached(loss, values):
                    warnings.simplefilter("ignore")
                    return loss(*ordered, **named)

            if probe.along:
                return foretold(values, returned)
            answer = answer_of(returned(), values.made)
            mutated = tuple(self._parameter(role) for role in values.mutated())
        except Exception as error:
            return Answer(failure=failure_of(error, "call"))
        finally:
            moved = state.restore() if state else []
        if self._maker is None:
            self._state, self._asked = state, values.asked
            own = state.numbers
            self._numbers = self._made.own(own, values, given) if self._made else own
            self._filled = tuple(filter(None, self._notes(values, given)))
        return replace(answer, mutated=mutated, moved=tuple(moved))

    def _arguments(
        self, values: Values, given: Mapping[str, Any], state: State
    ) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
        """Return the arguments of a call by place and by name, and what is written beforehand."""
        signature, plan = self._signature, self._plan
        named = {n: _filled(values, given, n, w, plan) for n, w in signature.arguments.items()}
        writes = {}
        made = self._made.names if self._made else ()
        for name, value in given.items():
            if name in signature.names:
                named[name] = value
            elif name.partition(".")[0] in (*signature.names, *made):
                continue
            elif state.has(name):
                writes[name] = value
            elif signature.keywords and "." not in name:
                named[name] = value
            elif "model" not in signature.arguments.values():
                raise Refusal("settings", name, ", ".join((*signature.names, *state.names)))
        n_first = len(signature.names) if signature.star is not None else signature.n_by_place
        ordered = [named.pop(name) for name in signature.names[:n_first] if name in named]
        if signature.star is not None:
            ordered += produced(values, self._star) if self._star else ()
        if signature.bare:
            ordered = [tuple(each) if isinstance(each, tuple) else each for each in ordered]
        return ordered, named, writes

    def _notes(self, values: Values, given: Mapping[str, Any]) -> Iterator[str]:
        """Yield in words how arguments were filled that are none of the usual tensors."""
        signature, alias = self._signature, self._alias
        yield from signature.notes
        if self._made:
            yield from self._made.notes(values)
        for name, want in signature.arguments.items():
            if not isinstance(want, str):
                noted = any(note.startswith(f"{name} :=") for note in signature.notes)
                yield "" if noted else f"{name} := {_shown(want or FOUR)}"
            elif want not in ("model", "config"):
                yield told(name, alias.get(want, want), values[want])
        if signature.star is not None and self._star:
            how = "as it names them" if signature.star else "the order in which it is a loss"
            yield f"*args := {_shown(self._star)}, {how}"
        for path, want in self._plan.calls.items():
            yield f"{'.'.join((self._plan.root, *path))}(...) := {_shown(want)}"
        if "z_spread" in self._asked:
            yield f"the spread of the latents := {alias['z_spread']}, as it seems"
        for name, value in given.items():
            formula = dict(values.probe.settings)[name]
            if isinstance(formula, str) and formula.startswith("="):
                yield f"{name} := {formula[1:]}, here {value:g}"
            else:
                yield f"{name} := {getattr(value, '__name__', value)}, set"

    def _parameter(self, role: str) -> str:
        return next((n for n, r in self._signature.arguments.items() if r == role), role)


def settings_of(probe: Probe, scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings as a loss gets them: formulas by their values, names by their objects."""
    sizes = {"d": probe.d, "k": probe.k, "B": probe.batch_size, "N": probe.n_images}
    found: dict[str, Any] = {}
    for name, value in probe.settings:
        found[name] = value
        if isinstance(value, str) and value.startswith("="):
            number = evaluate(value[1:], sizes)
            found[name] = int(number) if number.denominator == 1 else float(number)
        elif isinstance(value, str) and value[:1] in BRACKETS:
            found[name] = ast.literal_eval(value)
        elif isinstance(value, str):
            found[name] = scope.get(value, value)
    return found


def _finite(answer: Answer) -> bool:
    return answer.failure is None and not any(out.n_not_finite for out in answer.outputs)


def _shown(want: Want) -> str:
    if isinstance(want, str):
        return want or "..."
    if isinstance(want, dict):
        return f"{{{', '.join(f'{key}: {_shown(each)}' for key, each in want.items())}}}"
    return f"({', '.join(map(_shown, want))})"


def answer_of(returned: object, given: Mapping[str, Any]) -> Answer:
    """Return whatever a loss returned as plain values; ``given`` are the tensors that it got."""
    leaves = itertools.islice(_leaves(returned, "", 0), _MOST_OUTPUTS)
    outputs = tuple(_output(path, value, given) for path, value in leaves)
    return Answer(outputs=outputs, returned=_parts(returned)[0])


def foretold(values: Values, call: Callable[[], object]) -> Answer:
    """Return what a loss says a step further along the way of its probe, by its gradient."""
    found = values.slopes(lambda: dict(_leaves(call(), "", 0)))
    outputs = ((_output(path, value, {}), slope) for path, value, slope in found)
    step = values.probe.step
    return Answer(tuple(replace(out, mean=out.mean + step * slope) for out, slope in outputs))


def _leaves(value: object, path: str, depth: int) -> Iterator[tuple[str, object]]:
    form, parts = _parts(value)
    if not form or depth > 3:
        yield path, value
    for below, part in parts if depth <= 3 else ():
        yield from _leaves(part, path + below, depth + 1)


def _parts(value: object) -> tuple[str, list[tuple[str, object]]]:
    """Return what kind of container a value is, and what lies in it; nothing for no container."""
    names: Iterable[str] = ()
    form = ""
    if isinstance(value, Mapping):
        return "dict", [(f'["{key}"]', part) for key, part in value.items()]
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        form = "tuple" if isinstance(value, tuple) else "list"
        return form, [(f"[{place}]", part) for place, part in enumerate(value)]
    if isinstance(value, tuple):
        form, names = "named tuple", value._fields  # type: ignore[attr-defined]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        form, names = "dataclass", [each.name for each in dataclasses.fields(value)]
    elif not isinstance(value, type) and not hasattr(value, "__array__"):
        own = getattr(value, "__dict__", {})
        if any(name.lower() in ("loss", "total", "total_loss", "elbo") for name in own):
            form, names = "object", [name for name in own if not name.startswith("_")]
    return form, [(f".{name}", getattr(value, name)) for name in names]


def _output(path: str, value: object, given: Mapping[str, Any]) -> Output:
    try:
        array = to_array(value)
        numeric = array.dtype.kind in "fiu" or array.dtype.name == "bfloat16"
    except Exception:
        numeric = False
    if value is None or not numeric:
        return Output(path, (), 0.0, 0, False, type(value).__name__)
    for role in _RETURNED if array.ndim > 1 else ():
        if role in given and np.array_equal(array, to_array(given[role])):
            return Output(path, array.shape, 0.0, 0, False, f"the {role} that it was given")
    wide = array.astype(np.float64)
    n_bad = int(np.count_nonzero(~np.isfinite(wide)))
    mean = float(wide.mean()) if wide.size and not n_bad else 0.0
    shape = tuple(int(side) for side in array.shape)
    return Output(path, shape, mean, n_bad, array.dtype.itemsize < 8)


def failure_of(error: BaseException, stage: str, file: str = "") -> Failure:
    """Return an exception as plain values, with the innermost line of the user's own code.

    A refusal says itself what it is.
    """
    if isinstance(error, Refusal):
        return error.failure
    below = traceback.extract_tb(error.__traceback__)
    frames = [f for f in below if not f.filename.startswith(_HERE)]
    own = [f for f in frames if "site-packages" not in f.filename and "<frozen" not in f.filename]
    own = [f for f in own if not file or f.filename == file] or own
    line = f"line {own[-1].lineno}: {own[-1].line}" if own else ""
    text = " ".join(str(error).split())
    return Failure(stage, type(error).__name__, text[:300], line)
