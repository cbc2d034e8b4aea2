"""A loss of the user's own: a function in a Python file, ``FILE.py:FUNCTION`` in an experiment.

It is trained as what it is proved to be, ``a*R + b*K``, at each size of the grid; where it is not
proved the function itself is trained. What was found is frozen with the experiment, so a results
folder is read without running anybody's code.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from lossbench.errors import UsageError
from lossbench.experiment.own_file import frozen, frozen_file, read_file
from lossbench.loss import FORM, Convention, LossFunction, Objective, Sizes, Way, evaluate

SECTION = "own_loss"

_CALLED = ("__init__", "__call__", "call", "forward")
_MOST_TOLD = 4
_SIZES = tuple(size.name for size in fields(Sizes))


@dataclass(frozen=True)
class Proof:
    """That the loss is ``a*R + b*K`` at these sizes: a and b as formulas in d, k, B, N and beta.

    ``beta`` is the weight that the function was given; ``None`` where it takes none.
    """

    sizes: Sizes
    beta: float | None
    a: str
    b: str


@dataclass(frozen=True, kw_only=True)
class OwnLoss(Convention):
    """A loss of the user's own, with what is proved of it.

    ``beta`` of a sweep goes to the function where it ``takes_beta``, else it multiplies b.
    ``reconstruction_loss`` is the likelihood that it was found to have, empty where that is not
    known; ``ways`` say how it is called at the sizes and weights at which it is trained itself.
    ``file`` is where it was found, ``source`` its bytes; neither makes it another loss, ``sha256``
    does.
    """

    function: str
    sha256: str
    takes_beta: bool
    reconstruction_loss: str = ""
    proofs: tuple[Proof, ...] = ()
    ways: tuple[Way, ...] = ()
    file: Path = field(compare=False)
    source: bytes = field(compare=False, repr=False)

    @property
    def file_name(self) -> str:
        """The name of its file, without the folder."""
        return self.name.rpartition(":")[0]

    @property
    def identity(self) -> str:
        """What makes it this loss: the content of the file, and which function of it."""
        return f"{self.sha256} {self.function}"

    @property
    def is_proportional(self) -> bool:
        """Whether b is a number times beta at all sizes: then a beta_eff has its beta."""
        return not self.ways and (
            not self.takes_beta
            or all(
                evaluate(proof.b, proof.sizes.symbols() | {"beta": 2})
                == 2 * evaluate(proof.b, proof.sizes.symbols() | {"beta": 1})
                for proof in self.proofs
            )
        )

    def given(self, beta: float | Fraction) -> float | None:
        """Return the weight that the function is given where a sweep has ``beta``."""
        return float(beta) if self.takes_beta else None

    def proof(self, sizes: Sizes, beta: float | Fraction) -> Proof | None:
        """Return what is proved at these sizes, with the function given this weight."""
        wanted = Proof(sizes, self.given(beta), "", "")
        alike = (p for p in self.proofs if (p.sizes, p.beta) == (wanted.sizes, wanted.beta))
        return next(alike, None)

    def itself(self, sizes: Sizes, beta: float | Fraction) -> LossFunction | None:
        """Return the function where it is trained itself at these sizes with this weight."""
        alike = (w for w in self.ways if (w.sizes, w.beta) == (sizes, self.given(beta)))
        way = next(alike, None)
        return LossFunction(self.name, self.sha256, way, self.file, self.source) if way else None

    def coefficients(self, sizes: Sizes, beta: float | Fraction) -> Objective[Fraction]:
        """Return a and b at these sizes and at ``beta``, from a proof at these sizes.

        ``UsageError`` if there is none, or if a and b are no objective.
        """
        at = sorted((p for p in self.proofs if p.sizes == sizes), key=lambda p: not p.beta)
        found = self.proof(sizes, beta) or next(iter(at), None)
        if found is None:
            raise UsageError(
                f"{self.name} was not audited at these sizes",
                expected=", ".join(f"{p.sizes.symbols()}" for p in self.proofs) or "an audit",
                received=f"{sizes.symbols()}",
                remedy="numbers for --d and --k" if self.proofs else "",
            )
        weight, factor = (beta, Fraction(1)) if self.takes_beta else (Fraction(1), beta)
        alone = Convention(
            *(self.name, self.title, "sum", "sum"),
            reconstruction_factor=found.a,
            kl_factor=found.b,
            default_beta=weight,
        )
        return alone.coefficients(sizes, factor)

    def beta(self, beta_eff: float | Fraction, sizes: Sizes) -> Fraction:
        """Return the weight at which it has the given ``beta_eff``, from a proof at these sizes.

        ``UsageError`` if b is not proportional to beta, or is 0 at every weight.
        """
        if self.ways:
            raise UsageError(
                "it is trained itself, so it has no beta_eff",
                where=f"loss {self.name}",
                expected=FORM,
                received=self.ways[0].reason,
            )
        if not self.is_proportional:
            raise UsageError(
                f"no beta gives {self.name} that beta_eff: it is not proportional to beta",
                where=f"loss {self.name}",
                expected="beta in place of beta_eff",
                received=f"b = {self.proofs[0].b}",
            )
        return super().beta(beta_eff, sizes)

    def table(self) -> dict[str, object]:
        """Return it as a frozen experiment has it."""
        return {
            "file": self.file_name,
            "function": self.function,
            "sha256": self.sha256,
            "takes_beta": self.takes_beta,
            "reconstruction_loss": self.reconstruction_loss,
            "proved": [
                asdict(proof.sizes)
                | ({} if proof.beta is None else {"beta": proof.beta})
                | {"a": proof.a, "b": proof.b}
                for proof in self.proofs
            ],
            **({"itself": [_plain(way) for way in self.ways]} if self.ways else {}),
        }


def _plain(way: Way) -> dict[str, object]:
    """Return a way as a table of a frozen experiment has it."""
    known = asdict(way) | asdict(way.sizes) | {"shape": list(way.shape)}
    return {name: x for name, x in known.items() if name != "sizes" and x is not None}


def read_own(text: str, where: str, beside: Path | None = None) -> OwnLoss:
    """Return the loss that ``FILE.py:FUNCTION`` names, of which nothing is proved yet.

    The file is looked for from the current folder, then from that of ``beside``.
    ``ExperimentError`` says what is not there.
    """
    file = read_file(text, "loss", where, beside)
    return OwnLoss(
        name=file.name,
        title="your own",
        over_inputs="sum",
        over_latents="sum",
        function=file.function,
        sha256=file.sha256,
        takes_beta=_takes_beta(file.source, file.function),
        file=file.path,
        source=file.source,
    )


def _takes_beta(source: bytes, function: str) -> bool:
    """Return whether a function, or what a class of that name is called by, has ``beta``."""
    try:
        body: list[ast.stmt] = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False  # the audit tells what is wrong with it
    *classes, last = function.split(".")
    for name in classes:
        body = next((n.body for n in body if isinstance(n, ast.ClassDef) and n.name == name), [])
    return any("beta" in names for names in _parameters(body, (last,)))


def _parameters(body: list[ast.stmt], names: tuple[str, ...]) -> Iterator[list[str]]:
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name in names:
            yield [each.arg for each in (*node.args.args, *node.args.kwonlyargs)]
        elif isinstance(node, ast.ClassDef) and node.name in names:
            yield from _parameters(node.body, _CALLED)


def frozen_losses(tables: object, beside: Path, where: str) -> dict[str, OwnLoss]:
    """Return the losses of a frozen experiment, with what was proved of them.

    ``ExperimentError`` if a table is damaged, or the file beside it is another one by now.
    """
    return frozen(tables, SECTION, "loss", where, partial(_frozen, beside=beside))


def _frozen(name: str, table: Mapping[str, object], beside: Path) -> OwnLoss:
    sha256, proved = str(table["sha256"]), table["proved"]
    file = frozen_file(name, str(table["file"]), str(table["function"]), sha256, beside)
    itself = table.get("itself", [])
    assert isinstance(proved, list) and isinstance(itself, list)  # noqa: S101, PT018 - told by the caller
    return OwnLoss(
        name=name,
        title="your own",
        over_inputs="sum",
        over_latents="sum",
        function=file.function,
        sha256=sha256,
        takes_beta=table["takes_beta"] is True,
        reconstruction_loss=str(table["reconstruction_loss"]),
        proofs=tuple(
            Proof(
                _sizes(each),
                float(each["beta"]) if "beta" in each else None,
                str(each["a"]),
                str(each["b"]),
            )
            for each in proved
        ),
        ways=tuple(map(_way, itself)),
        file=file.path,
        source=file.source,
    )


def _sizes(table: Mapping[str, int]) -> Sizes:
    return Sizes(**{size: int(table[size]) for size in _SIZES})


def _way(table: Mapping[str, Any]) -> Way:
    texts = {name: str(table[name]) for name in ("framework", "total", "spread", "words", "reason")}
    return Way(
        _sizes(table),
        float(table["beta"]) if "beta" in table else None,
        of_logits=table["of_logits"] is True,
        shape=tuple(int(side) for side in table["shape"]),
        **texts,
    )


def told(loss: OwnLoss) -> Iterator[str]:
    """Yield in sentences what a loss is trained as, and what makes its runs its own."""
    formulas = list(dict.fromkeys((proof.a, proof.b) for proof in loss.proofs))
    for a, b in formulas[:_MOST_TOLD]:
        at = [proof for proof in loss.proofs if (proof.a, proof.b) == (a, b)]
        weights = [float(loss.coefficients(p.sizes, p.beta or 0.0).beta_eff) for p in at]
        if not loss.takes_beta:
            weights = [float(loss.coefficients(p.sizes, 1.0).beta_eff) for p in at]
        extremes = dict.fromkeys(f"{x:.4g}" for x in (min(weights), max(weights)))
        sizes = " ".join(f"{n} {x}" for n, x in at[0].sizes.symbols().items())
        more = f" and {len(at) - 1} more" if at[1:] else ""
        yield (
            f"{loss.name} is proved to be {FORM} of {loss.reconstruction_loss} and trained as "
            f"that: a = {a}, b = {b}{'' if loss.takes_beta else ' times beta'}; beta_eff "
            f"{' to '.join(extremes)}{'' if loss.takes_beta else ' at beta 1'}; audited at "
            f"{sizes}{more}"
        )
    if formulas[_MOST_TOLD:]:
        yield f"{loss.name} has {len(formulas) - _MOST_TOLD} more a and b at other sizes or weights"
    yield from _told_itself(loss)
    beta = "; beta is its argument" if loss.takes_beta else ""
    yield (
        f"its runs are those of {loss.function} in a {loss.file_name} of SHA-256 "
        f"{loss.sha256[:12]}, whatever that imports{beta}"
    )


def _told_itself(loss: OwnLoss) -> Iterator[str]:
    """Yield where and why the function itself is trained, and of what R and the ELBO are."""
    for reason in dict.fromkeys(way.reason for way in loss.ways):
        at = [way for way in loss.ways if way.reason == reason]
        sizes = " ".join(f"{n} {x}" for n, x in at[0].sizes.symbols().items())
        more = f" and {len(at) - 1} more" if at[1:] else ""
        yield (
            f"{loss.name} is trained itself, by its own gradient, at {sizes}{more}, since it is "
            f"not proved to be {FORM}: {reason}"
        )
    if not loss.ways:
        return
    of = f"those of {loss.reconstruction_loss}, which is its own likelihood"
    if not loss.reconstruction_loss:
        of = f"those of the experiment's likelihood; its own reconstruction is {loss.ways[0].words}"
    yield f"R, KL and ELBO of {loss.name} are {of}; no threshold is told"
