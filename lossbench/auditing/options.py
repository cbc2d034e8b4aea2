"""What the command line asks of an audit, parsed and checked: target, sizes, arguments."""

import ast
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lossbench.auditing.probe import BRACKETS, Setting
from lossbench.auditing.signature import ROLES
from lossbench.auditing.total import read_total
from lossbench.errors import AuditError, UsageError, did_you_mean
from lossbench.loss import Sizes, evaluate
from lossbench.words import counted

_WORDS: Mapping[str, Setting] = {"true": True, "false": False, "none": None}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_SIZES = re.compile(r"\b[BdkN]\b")
_LISTED_D, _LISTED_K = 784, 20
_MOST_VALUES = 2**25  # of a batch of images, 256 MiB
_LARGEST_K = 2**14


@dataclass(frozen=True)
class Target:
    """A path, and the name of a loss in that file; ``""`` for every loss in a file or a folder."""

    path: Path
    name: str = ""

    def __str__(self) -> str:
        """Return it as one writes it."""
        in_a_file = self.name and str(self.path) != self.name
        return f"{self.path}:{self.name}" if in_a_file else str(self.path)


@dataclass(frozen=True)
class Options:
    """The sizes to ask a loss about, the arguments to give it, the seconds it has.

    ``args`` maps roles to parameters; ``settings`` holds values, a formula in d, k, B and N as
    text that starts with ``=``; ``total`` is arithmetic in the outputs.
    """

    sizes: Sizes
    shape: tuple[int, ...]
    latent_shape: tuple[int, ...]
    args: Mapping[str, str]
    settings: Mapping[str, Setting]
    total: str | None
    time_limit: float


def read_target(text: str) -> Target:
    """Return what ``FILE.py:NAME``, ``FILE.py`` or ``FOLDER`` names; ``AuditError`` if nothing."""
    path, colon, name = text.rpartition(":")
    whole = Path(text)
    if text.strip() and (not colon or whole.exists()):
        if whole.is_dir() or whole.is_file():
            return Target(whole)
        path, name = text, ""
    if not path or (colon and not name):
        raise AuditError(
            "this names no loss",
            where=text,
            expected="FILE.py:NAME, FILE.py or FOLDER",
            received=repr(text),
            remedy="lossbench audit my_vae.py:vae_loss --d 784 --k 2",
        )
    if not Path(path).is_file():
        folder = Path(path).is_dir()
        raise AuditError(
            "this is a folder" if folder else "there is no such file",
            where=path,
            expected="a Python file with your loss in it"
            + ("" if name else ", or a folder of such files"),
            received="a folder" if folder else "nothing",
            remedy=f"lossbench audit {path} lists the losses in it"
            if folder
            else "correct the path; it is relative to the current folder",
        )
    return Target(Path(path), name)


def read_options(
    target: Target,
    d: int | None,
    k: int | None,
    batch_size: int,
    n_images: int,
    shape: str | None,
    latent_shape: str | None,
    args: Iterable[str],
    settings: Iterable[str],
    total: str | None,
    time_limit: float,
) -> Options:
    """Return the checked options; ``AuditError`` says which is wrong, and how it is right.

    Shapes are as in ``28,28,1`` and make d and k known; a file or a folder is listed at d = 784
    and k = 20 if nothing else is asked for. ``args`` are ``role=parameter``; ``settings`` are
    ``parameter=value``, where a value may be a formula in d, k, B and N. Commas separate, but for
    those in brackets.
    """
    if shape is not None and d is None:
        d = math.prod(_sides("--shape", shape))
    if latent_shape is not None and k is None:
        k = math.prod(_sides("--latent-shape", latent_shape))
    if not target.name:
        d, k = d or _LISTED_D, k or _LISTED_K
        if total is not None:
            raise AuditError(
                "--total belongs to one loss",
                where="--total",
                expected="FILE.py:NAME",
                received=str(target),
            )
    if d is None or k is None:
        missing = [option for option, value in (("--d", d), ("--k", k)) if value is None]
        raise AuditError(
            "what a loss trains depends on its sizes",
            where=str(target),
            expected="--d, the inputs of an image, and --k, its latents",
            received=f"no {' and no '.join(missing)}",
            remedy=f"lossbench audit {target} --d {d or _LISTED_D} --k {k or _LISTED_K}",
        )
    sizes = Sizes(d, k, batch_size, n_images)
    _check_sizes(sizes, time_limit)
    if total is not None:
        total = read_total(total).expression
    return Options(
        sizes=sizes,
        shape=_shape("--shape", shape, "d", d) or (d,),
        latent_shape=_shape("--latent-shape", latent_shape, "k", k),
        args=dict(_roles(args)),
        settings={name: _setting(text, sizes) for name, text in _pairs("--set", settings)},
        total=total,
        time_limit=time_limit,
    )


def _check_sizes(sizes: Sizes, time_limit: float) -> None:
    d, batch_size = sizes.d or 0, sizes.batch_size or 0
    limits = (
        ("--d", d, _MOST_VALUES),
        ("--k", sizes.k or 0, _LARGEST_K),
        ("--batch-size", batch_size, _MOST_VALUES // max(d, 1)),
        ("--n-images", sizes.n_images or 0, 10**12),
    )
    for option, value, most in limits:
        if not 1 <= value <= max(most, 1):
            raise AuditError(
                "a size has a value that it cannot take",
                where=option,
                expected=f"a whole number from 1 to {max(most, 1)}",
                received=str(value),
                remedy=f"ask with a smaller {option}" if value > 1 else "",
            )
    if not (math.isfinite(time_limit) and time_limit > 0):
        raise AuditError(
            "the time limit has a value that it cannot take",
            where="--time-limit",
            expected="seconds, above 0",
            received=f"{time_limit:g}",
        )


def _shape(option: str, text: str | None, size: str, n_values: int) -> tuple[int, ...]:
    """Return the sides of a shape, or nothing where none is asked for."""
    if text is None:
        return ()
    sides = _sides(option, text)
    if math.prod(sides) != n_values:
        what = "images" if size == "d" else "latents"
        raise AuditError(
            f"the shape of the {what} does not have {size} values",
            where=option,
            expected=f"sides whose product is {size} = {n_values}",
            received=f"{text!r}, {counted(math.prod(sides), 'value')}",
            remedy=f"leave {option} out for flat {what}, or --{size} out: the shape tells it",
        )
    return sides


def _sides(option: str, text: str) -> tuple[int, ...]:
    sides = [part.strip() for part in re.split(r"[,x]", text)]
    if not all(side.isdigit() for side in sides):
        raise AuditError(
            f"{option} takes whole numbers",
            where=option,
            expected="sides separated by commas, such as 28,28,1",
            received=repr(text),
        )
    return tuple(int(side) for side in sides)


def _pairs(option: str, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    for text in _separated(",".join(texts)):
        if not text.strip():
            continue
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name.replace(".", "_").isidentifier() or value[:1] in ("", "="):
            raise AuditError(
                f"{option} takes pairs",
                where=option,
                expected="name=value, separated by commas",
                received=repr(text),
                remedy="--args x_hat=decoded" if option == "--args" else "--set beta=4",
            )
        yield name, value


def _separated(text: str) -> Iterator[str]:
    """Yield what stands between commas that are in no brackets."""
    depth = start = 0
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth <= 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def _roles(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    for role, parameter in _pairs("--args", texts):
        if role not in ROLES:
            raise AuditError(
                f"no role is called {role!r}",
                where="--args",
                expected=f"ROLE=PARAMETER, with a role of {', '.join(ROLES)}",
                received=f"{role}={parameter}",
                remedy=did_you_mean(role, ROLES) or "the role comes first: --args x_hat=decoded",
            )
        yield role, parameter


def _setting(text: str, sizes: Sizes) -> Setting:
    """Return a value: a word, a number, or text: of a formula, of a list, of a name in the file."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _NUMBER.fullmatch(text):
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    if text[:1] in BRACKETS and _is_literal(text):
        return text
    try:
        number = evaluate(text, sizes.symbols())
    except UsageError:
        return text
    if _SIZES.search(text):
        return f"={text}"
    return int(number) if number.denominator == 1 else float(number)


def _is_literal(text: str) -> bool:
    """Return whether a text in brackets is a list or the like; a formula in brackets is not."""
    try:
        return not isinstance(ast.literal_eval(text), int | float)
    except (SyntaxError, ValueError):
        if text[:1] == "(":
            return False
    raise AuditError(
        "this is no list that can be read",
        where="--set",
        expected="numbers, text in quotes and brackets, such as [32,64]",
        received=repr(text),
    )
