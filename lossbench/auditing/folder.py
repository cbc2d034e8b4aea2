"""Every loss of a VAE in a file or a folder: found by reading, then audited one by one.

Nothing is imported to find them. A loss holds a KL and a reconstruction: in its own body, in a
function of the same file that it calls, or by the name of what it calls.
"""

import ast
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lossbench.auditing.inspection import attempt
from lossbench.auditing.options import Options, Target
from lossbench.auditing.result import Audit
from lossbench.auditing.signature import usual_role

_MOST_BYTES = 1_000_000
_PASSED_OVER = frozenset(("node_modules", "build", "dist", "site-packages", "__pycache__"))
_MENTIONS = re.compile(rb"kl|elbo|vae|log_?(var|sig|std)", re.IGNORECASE)

_KL = re.compile(r"(^|_)kl|kld|kl_?div|latent_loss|log_?[pq]_?z", re.IGNORECASE)
_SPREAD = re.compile(r"log_?(var|sig|std|scale)|ln_?(var|sig)|^(lv|logs|log_v)$", re.IGNORECASE)
_RECONSTRUCTION = re.compile(
    r"mse|bce|mean_?squared|squared_(error|difference)|cross_?entropy|l1_?loss|huber|nll|"
    r"log_?(prob|lik|pdf|pmf|softmax)|likelihood|rec(on|ons|onst\w*)?_?(loss|err|term|crit)",
    re.IGNORECASE,
)
_DECODED = re.compile(r"decode|recon|x_?hat|elbo|vae", re.IGNORECASE)
_NAMED = re.compile(r"loss|elbo|objective|bound|free_energy|vae|criterion|_step", re.IGNORECASE)
_CALLS = ("forward", "call", "__call__")
_STEPS = ("training_step", "train_step", "compute_loss")
_TRAINS = frozenset(("backward", "zero_grad", "fit", "train_on_batch", "apply_gradients"))
_BUILDS = frozenset(("add_loss", "compile"))
_SPREADS = frozenset(("z_log_var", "z_std", "z_var"))


@dataclass(frozen=True)
class Candidate:
    """What looks like a loss: its target, its line and the arguments that it may be given."""

    target: Target
    line: int
    parameters: frozenset[str]


@dataclass(frozen=True)
class Unread:
    """A file that cannot be read, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Listed:
    """A candidate with its audit, or with why there is none."""

    candidate: Candidate
    audit: Audit | None
    reason: str = ""


def listing(
    path: Path, options: Options, said: Callable[[str], None] = lambda _: None
) -> tuple[list[Listed], list[Unread]]:
    """Return every loss in a file or a folder, audited, and the files that cannot be read.

    Each is audited in a process of its own, with the options' time limit; ``said`` hears which.
    Arguments and settings go to those that have them.
    """
    found, unread = candidates(path)
    listed = []
    for number, candidate in enumerate(found, 1):
        said(f"{number} of {len(found)}: {candidate.target}")
        own = replace(
            options,
            args={r: name for r, name in options.args.items() if name in candidate.parameters},
            settings={
                name: value
                for name, value in options.settings.items()
                if name.partition(".")[0] in candidate.parameters
            },
        )
        outcome = attempt(candidate.target, own)
        audited = outcome if isinstance(outcome, Audit) else None
        listed.append(Listed(candidate, audited, "" if audited else str(outcome)))
    return listed, unread


def candidates(path: Path) -> tuple[list[Candidate], list[Unread]]:
    """Return what looks like a loss, by file and line, and the files that cannot be read."""
    found: list[Candidate] = []
    unread = []
    for file in _files(path):
        try:
            text = file.read_bytes()
            if _MENTIONS.search(text):
                with warnings.catch_warnings(action="ignore"):  # of a stranger's text
                    tree = ast.parse(text)
                found += _File(file, tree).candidates()
        except SyntaxError as error:
            unread.append(Unread(file, f"line {error.lineno}: {error.msg}"))
        except (OSError, ValueError, RecursionError, MemoryError) as error:
            unread.append(Unread(file, str(error) or type(error).__name__))
    return found, unread


def _files(path: Path) -> Iterator[Path]:
    """Yield Python files, but for those of tools, those that are large and links that lead out."""
    if path.is_file():
        yield path
        return
    root = path.resolve()
    for folder, below, names in os.walk(path):
        below[:] = sorted(name for name in below if not _is_passed_over(Path(folder, name)))
        for file in sorted(Path(folder, name) for name in names if name.endswith(".py")):
            inside = not file.is_symlink() or file.resolve().is_relative_to(root)
            if inside and file.is_file() and file.stat().st_size <= _MOST_BYTES:
                yield file


def _is_passed_over(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in _PASSED_OVER
    return hidden or folder.name.endswith(".egg-info") or (folder / "pyvenv.cfg").exists()


_Function = ast.FunctionDef | ast.AsyncFunctionDef


class _File:
    """The functions and methods of one file, by the names under which they are audited."""

    def __init__(self, path: Path, tree: ast.Module) -> None:
        self._path = path
        self._functions: dict[str, _Function] = {}
        self._called: dict[str, list[str]] = {}  # by the name of a call: what it carries out
        for node in _statements(tree.body):
            if isinstance(node, _Function):
                self._add(node.name, node)
            elif isinstance(node, ast.ClassDef):
                for method in _statements(node.body):
                    if isinstance(method, _Function):
                        self._add(f"{node.name}.{method.name}", method)
        read = {name: _signs(function) for name, function in self._functions.items()}
        self._signs = {name: signs for name, (signs, _) in read.items()}
        self._calls = {name: calls for name, (_, calls) in read.items()}

    def _add(self, name: str, function: _Function) -> None:
        self._functions[name] = function
        for part in name.split("."):
            self._called.setdefault(part, []).append(name)

    def candidates(self) -> Iterator[Candidate]:
        """Yield the losses in their order, but for what only calls one or has one built in."""
        losses = [name for name in self._functions if self._is_loss(name)]
        methods = {name.rpartition(".")[2] for name in losses}
        called = set().union(*(self._calls[name] for name in losses))
        yielded = set()
        for name in sorted(losses, key=lambda each: self._functions[each].lineno):
            function = self._functions[name]
            owner, _, method = name.rpartition(".")
            calls = self._calls[name]
            only_calls = bool(calls & methods - {method}) and not calls & _BUILDS
            if only_calls and not self._is_fed(function):
                continue
            if owner and method in (*_CALLS, "train_step"):
                if owner in called:
                    continue
                name = owner  # noqa: PLW2901 - an object of the class is called
            if name in yielded:
                continue
            yielded.add(name)
            names = {a.arg for a in _parameters(function)}
            made = self._functions.get(f"{owner}.__init__")
            names |= {a.arg for a in _parameters(made)} if made else set()
            yield Candidate(Target(self._path, name), function.lineno, frozenset(names))

    def _is_fed(self, function: _Function) -> bool:
        """Return whether its arguments, or those of a function in it, are an image and latents."""
        roles = {usual_role(a.arg) for a in _parameters(function, nested=True)}
        latents = "posterior" in roles or ("z_mean" in roles and bool(roles & _SPREADS))
        return latents and bool(roles & {"x", "x_hat"})

    def _is_loss(self, name: str) -> bool:
        function, calls = self._functions[name], self._calls[name]
        if function.name.startswith(("test_", "__init__")) or not _returns(function):
            return False
        signs = self._gathered(name)
        named = bool(_NAMED.search(name)) or function.name in _CALLS
        if self._is_fed(function):
            whole = {"x", "x_hat", "z_mean"} <= {usual_role(a.arg) for a in _parameters(function)}
            terms = bool(signs & {"formula", "named_kl"}), "reconstruction" in signs
            return all(terms) or (whole and (named or any(terms)))
        trains = bool(calls & _TRAINS) and function.name not in _STEPS
        builds = bool(calls & _BUILDS) or ("adds" in signs and "Model" in calls)
        kl = "formula" in signs or {"named_kl", "decoded"} <= signs
        return kl and "reconstruction" in signs and (builds or (named and not trains))

    def _gathered(self, name: str) -> set[str]:
        """Return the signs of a function with those of the functions of the file that it calls."""
        signs, seen, waiting = set[str](), {name}, [name]
        while waiting:
            at = waiting.pop()
            signs |= self._signs[at]
            called = {other for call in self._calls[at] for other in self._called.get(call, ())}
            waiting += called - seen
            seen |= called
        return signs


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements, those in an ``if`` or a ``try`` too."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            handled = [each.body for each in getattr(node, "handlers", ())]
            for inner in (node.body, node.orelse, *handled):
                yield from _statements(inner)


def _parameters(function: _Function, *, nested: bool = False) -> Iterator[ast.arg]:
    for node in ast.walk(function) if nested else (function,):
        if isinstance(node, _Function):
            given = node.args
            yield from (*given.posonlyargs, *given.args, *given.kwonlyargs)


def _returns(function: _Function) -> bool:
    return any(isinstance(n, ast.Return | ast.Yield) and n.value for n in ast.walk(function))


def _signs(function: _Function) -> tuple[set[str], set[str]]:
    """Return what a function's own body shows, and the names of what it calls.

    ``formula`` and ``named_kl`` say that there is a KL; further signs are ``reconstruction``,
    ``decoded`` and ``adds`` (of ``add_loss``).
    """
    calls, names, parts = set[str](), {function.name}, set[str]()
    for node in ast.walk(function):
        match node:
            case ast.Call(func=called):
                name = _last(called)
                calls.add(name)
                inner = called.value if isinstance(called, ast.Attribute) else called
                over = [inner, *node.args[:1]]
                if name in ("exp", "log") and any(map(_is_spread, over)):
                    parts.add("grows")
                off = any(map(_is_difference, over))
                if name in ("pow", "square", "pow_") or (name == "abs" and off):
                    parts.add("difference" if off else "square")
            case ast.BinOp(op=ast.Pow(), left=left):
                parts.add("difference" if _is_difference(left) else "square")
            case ast.BinOp(op=ast.Mult()) if ast.dump(node.left) == ast.dump(node.right):
                parts.add("square")
            case ast.BinOp(op=ast.Add() | ast.Sub()) if _has_its_exponential(node):
                parts.add("grows")
            case ast.Constant(value=float(value)) if abs(value) == 0.5:
                parts.add("half")
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.keyword(arg="loss", value=ast.Name(id=name)):
                calls.add(name)
    words = calls | names
    given = {a.arg for a in _parameters(function)}
    shown = {
        "formula": {"grows", "square", "half"} <= parts,
        "named_kl": any(map(_KL.search, words)),
        "reconstruction": "difference" in parts or any(map(_RECONSTRUCTION.search, words)),
        "decoded": any(map(_DECODED.search, words | given)),
        "adds": "add_loss" in calls,
    }
    return {sign for sign, is_so in shown.items() if is_so}, calls


def _last(node: ast.expr) -> str:
    """Return the last name of what is called."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case ast.Call(func=func):
            return _last(func)
    return ""


def _is_spread(node: ast.expr) -> bool:
    """Return whether a log variance, or the like, is among the names of an expression."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    names |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    return any(_SPREAD.search(name) or usual_role(name) in _SPREADS for name in names)


def _has_its_exponential(node: ast.expr) -> bool:
    """Return whether a sum holds a name and the exponential of that name: ``1 + v - exp(v)``."""
    terms = list(_terms(node))
    grown = {ast.dump(inner) for term in terms for inner in _inside_exponential(term)}
    return any(ast.dump(term) in grown for term in terms)


def _terms(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.BinOp(op=ast.Add() | ast.Sub(), left=left, right=right):
            yield from _terms(left)
            yield from _terms(right)
        case _:
            yield node


def _inside_exponential(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.Call(func=ast.Attribute(value=inner, attr="exp"), args=[]):
            return [inner]
        case ast.Call(func=ast.Attribute(attr="exp"), args=[inner]):
            return [inner]
    return []


def _is_difference(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)
