"""Which of the things that a loss returns is the total: what each depends on is measured."""

import ast
import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lossbench.auditing.probe import Probe
from lossbench.auditing.records import Answer, Failure, Output, Stopped
from lossbench.errors import AuditError

_TOTALS = (
    *("loss", "total_loss", "total", "objective", "loss_total", "vae_loss", "losses"),
    *("negative_elbo", "neg_elbo", "nelbo", "free_energy", "cost"),
)
_WEIGHTS = ("weight", "beta", "coef", "anneal", "lambda", "gamma", "factor")
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_X_HAT, _LATENTS = "x_hat", "latents"


@dataclass(frozen=True)
class Total:
    """The total as arithmetic in the outputs, such as ``out[0] + out[2]*out[1]``.

    ``doubt`` says in words why it may be another, where it may.
    """

    expression: str
    doubt: str = ""

    def value(self, outputs: Sequence[Output]) -> float:
        """Return the total of one answer; ``Stopped`` where an output is missing or no number."""
        number: float = self.of(lambda path: _mean(path, outputs))
        return number

    def of(self, found: Callable[[str], Any]) -> Any:
        """Return the total of whatever lies at each path: numbers, or tensors."""
        return _worth(ast.parse(self.expression, mode="eval").body, found)

    def used(self, outputs: Sequence[Output]) -> list[Output]:
        """Return the outputs that the total is made of."""
        paths = _paths(ast.parse(self.expression, mode="eval").body)
        return [out for out in outputs if out.path in paths]

    def negative(self) -> "Total":
        """Return the total with its sign turned."""
        inner = self.expression
        return replace(self, expression=f"-({inner})" if " " in inner else f"-{inner}")


def read_total(expression: str) -> Total:
    """Return the total that ``--total`` asks for; ``AuditError`` if it is not arithmetic."""
    try:
        _check(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError) as error:
        raise AuditError(
            "the total is not arithmetic in the outputs",
            where="--total",
            expected="numbers, out[0] or out.loss or out['loss'], + - * / and brackets",
            received=repr(expression),
            remedy="--total 'out[0] + out[2]*out[1]'",
        ) from error
    return Total(ast.unparse(ast.parse(expression.strip(), mode="eval")))


def _check(node: ast.expr) -> None:
    match node:
        case ast.Constant(value=int() | float()):
            return
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check(left)
            _check(right)
        case _ if _path(node) is None:
            raise ValueError(ast.unparse(node))


@functools.lru_cache(maxsize=256)
def _path(node: ast.expr) -> str | None:
    """Return the path that ``out[...]`` or ``out.name`` names, or ``None`` for anything else."""
    inner = node
    while isinstance(inner, ast.Subscript | ast.Attribute):
        inner = inner.value
    if not (isinstance(inner, ast.Name) and inner.id == "out"):
        return None
    return ast.unparse(node).removeprefix("out").replace("'", '"')


def _paths(node: ast.expr) -> set[str]:
    path = _path(node)
    if path is not None:
        return {path}
    return {p for child in ast.iter_child_nodes(node) for p in _paths(child)}  # type: ignore[arg-type]


def _worth(node: ast.expr, found: Callable[[str], Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return float(value)  # type: ignore[arg-type]
        case ast.UnaryOp(operand=operand):
            return -_worth(operand, found)
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_worth(left, found), _worth(right, found))
    return found(_path(node) or "")


def _mean(path: str, outputs: Sequence[Output]) -> float:
    for out in outputs:
        if out.path == path:
            if out.type:
                raise Stopped(Failure("type", "", out.type))
            return out.mean
    have = ", ".join(f"out{out.path}" for out in outputs[:8])
    raise Stopped(Failure("total", "", f"out{path}", have))


def _probes(
    base: Probe, others: Sequence[Mapping[str, float]]
) -> dict[str, list[tuple[Probe, Probe]]]:
    """Return pairs of probes between which x_hat, or the latents, move and nothing else."""
    at = [tuple({**dict(base.settings), **other}.items()) for other in ({}, *others)]
    bases = [replace(base, settings=settings) for settings in at]
    moves = [
        {"mean": 1.0, "low": 0.4, "high": 0.9},
        {"mean": 6.0, "low": 0.5, "high": 1.5},
        {"mean": 90.0, "low": 0.5, "high": 1.0},
        {"mean": 0.0, "low": 0.54, "high": 0.54},
    ]
    return {
        _X_HAT: [(b, replace(b, x_hat="off", level=0.1)) for b in bases],
        _LATENTS: [(b, replace(b, **move)) for b in bases for move in moves],  # type: ignore[arg-type]
    }


def find_total(
    answer: Callable[[Probe], Answer], base: Probe, others: Sequence[Mapping[str, float]]
) -> Total:
    """Return the total among the outputs; ``others`` are other values of weights to try.

    A field called loss or total wins; then the first output that feels both x_hat and the
    latents, at some weights and latents; else the parts are added, and what feels neither is the
    weight of the KL.
    """
    first = answer(base)
    numbers = [out for out in first.outputs if not out.type]
    if not numbers:
        kinds = ", ".join(out.type for out in first.outputs) or f"an empty {first.returned}"
        raise Stopped(Failure("type", "", kinds))
    for name in _TOTALS:
        for out in numbers:
            if out.name.lower() == name:
                return Total(f"out{out.path}")
    if len(numbers) == 1:
        return Total(f"out{numbers[0].path}")
    feels = _felt(answer, _probes(base, others), [out.path for out in numbers])
    both = [path for path, felt in feels.items() if felt == {_X_HAT, _LATENTS}]
    if both:
        return Total(f"out{both[0]}")
    parts = {
        what: [p for p, felt in feels.items() if felt == {what}] for what in (_X_HAT, _LATENTS)
    }
    constant = [out for out in numbers if not feels[out.path] and out.mean]
    named = [out for out in constant if any(word in out.name.lower() for word in _WEIGHTS)]
    unnamed = [out for out in constant if not out.name]
    weights = named or unnamed
    if not parts[_X_HAT] or not parts[_LATENTS]:
        chosen = (parts[_X_HAT] or parts[_LATENTS] or [numbers[0].path])[0]
        return Total(f"out{chosen}")
    latents = " + ".join(f"out{path}" for path in parts[_LATENTS])
    if len(weights) == 1:
        latents = f"({latents})" if len(parts[_LATENTS]) > 1 else latents
        latents = f"out{weights[0].path}*{latents}"
    expression = " + ".join([*(f"out{path}" for path in parts[_X_HAT]), latents])
    several = max(map(len, parts.values())) > 1 or len(weights) > 1
    doubt = "none of its outputs has both terms, and more than two have one" if several else ""
    return Total(expression, doubt)


def _felt(
    answer: Callable[[Probe], Answer],
    pairs: Mapping[str, Sequence[tuple[Probe, Probe]]],
    paths: Sequence[str],
) -> dict[str, set[str]]:
    """Return what each output feels: x_hat, the latents, both or neither."""
    feels: dict[str, set[str]] = {path: set() for path in paths}
    for what, chosen in pairs.items():
        for one, other in chosen:
            try:
                before, after = ({o.path: o for o in answer(p).outputs} for p in (one, other))
            except Stopped as stop:
                if stop.failure.stage not in ("call", "not finite"):
                    raise
                continue
            for path in paths:
                pair = before.get(path), after.get(path)
                if pair[0] and pair[1] and _moved(pair[0], pair[1]):
                    feels[path].add(what)
    return feels


def _moved(one: Output, other: Output) -> bool:
    eps = 1e-5 if one.single else 1e-9
    unlike = one.n_not_finite != other.n_not_finite
    return unlike or abs(one.mean - other.mean) > eps * max(abs(one.mean), abs(other.mean))
