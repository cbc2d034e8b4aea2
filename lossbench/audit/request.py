"""What the command line asks of an audit, parsed and checked: file, name, sizes, arguments."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lossbench.audit.probe import Setting
from lossbench.audit.roles import FOUR, SIZES
from lossbench.conventions import Sizes
from lossbench.conventions.formula import evaluate
from lossbench.errors import AuditError, UsageError, nearest

_ROLES = (*FOUR, "z_std", "z_var", "z", *SIZES)
_WORDS: Mapping[str, Setting] = {"true": True, "false": False, "none": None}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_MOST_VALUES = 2**25  # of a batch of images, 256 MiB
_LARGEST_K = 2**14


@dataclass(frozen=True)
class Request:
    """A callable in a file, the sizes to ask it about and the arguments to give it."""

    file: Path
    name: str
    sizes: Sizes
    shape: tuple[int, ...]
    args: Mapping[str, str]
    settings: Mapping[str, Setting]
    time_limit: float

    @property
    def target(self) -> str:
        """The file and the name, as the user gave them."""
        return f"{self.file}:{self.name}"


def read_request(
    target: str,
    sizes: Sizes,
    shape: str | None,
    args: Iterable[str],
    settings: Iterable[str],
    time_limit: float,
) -> Request:
    """Return the checked request; ``AuditError`` says which option is wrong, and how it is right.

    ``shape`` is as in ``28,28,1``; ``args`` are ``role=parameter``; ``settings`` are
    ``parameter=value``, where a value may be a formula in d, k, B and N. Commas separate.
    """
    path, colon, name = target.rpartition(":")
    if not colon or not path or not name:
        raise AuditError(
            "this names no function in a file",
            where=target,
            expected="FILE.py:FUNCTION",
            received=repr(target),
            remedy=f"lossbench audit {target or 'my_vae.py'}:vae_loss --d 784 --k 2",
        )
    if not Path(path).is_file():
        raise AuditError(
            "there is no such file",
            where=path,
            expected="a Python file with your loss in it",
            received="a folder" if Path(path).is_dir() else "nothing",
            remedy="correct the path; it is relative to the current folder",
        )
    _check_sizes(sizes, time_limit)
    return Request(
        file=Path(path).absolute(),
        name=name,
        sizes=sizes,
        shape=_shape(shape, sizes.d or 0),
        args=dict(_roles(args)),
        settings=dict(_settings(settings, sizes)),
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


def _shape(text: str | None, d: int) -> tuple[int, ...]:
    if text is None:
        return (d,)
    parts = re.split(r"[,x]", text)
    sides = tuple(int(part) for part in parts if part.strip().isdigit())
    if len(sides) != len(parts) or math.prod(sides) != d:
        raise AuditError(
            "the shape of the images does not have d values",
            where="--shape",
            expected=f"sides whose product is d = {d}, such as 28,28,1",
            received=f"{text!r}" + (f", {math.prod(sides)} values" if sides else ""),
            remedy="leave --shape out for flat images",
        )
    return sides


def _pairs(option: str, texts: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in ",".join(texts).split(","):
        if not text.strip():
            continue
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name.isidentifier() or not value:
            raise AuditError(
                f"{option} takes pairs",
                where=option,
                expected="name=value, separated by commas",
                received=repr(text),
                remedy="--args x_hat=decoded" if option == "--args" else "--set beta=4",
            )
        yield name, value


def _roles(texts: Iterable[str]) -> Iterable[tuple[str, str]]:
    for role, parameter in _pairs("--args", texts):
        if role not in _ROLES:
            raise AuditError(
                f"no role is called {role!r}",
                where="--args",
                expected=f"ROLE=PARAMETER, with a role of {', '.join(_ROLES)}",
                received=f"{role}={parameter}",
                remedy=nearest(role, _ROLES) or "the role comes first: --args x_hat=decoded",
            )
        yield role, parameter


def _settings(texts: Iterable[str], sizes: Sizes) -> Iterable[tuple[str, Setting]]:
    for name, text in _pairs("--set", texts):
        if text.lower() in _WORDS:
            yield name, _WORDS[text.lower()]
        elif _NUMBER.fullmatch(text):
            yield name, int(text) if text.lstrip("+-").isdigit() else float(text)
        else:
            try:
                yield name, float(evaluate(text, sizes.symbols()))
            except UsageError:
                yield name, text
