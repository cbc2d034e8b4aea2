"""A function in a Python file of the user's own, ``FILE.py:FUNCTION``: a loss, or a network.

The content of the file and the name of the function make it what it is, and never its path. The
file is copied beside a frozen experiment, so that a results folder stands for itself.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lossbench.errors import ExperimentError, did_you_mean

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class OwnFile:
    """A file with the function that is meant; ``source`` is empty where it is not there."""

    path: Path
    function: str
    source: bytes

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.path.name}:{self.function}"

    @property
    def sha256(self) -> str:
        """The hash of its content."""
        return hashlib.sha256(self.source).hexdigest()


def read_file(text: str, noun: str, where: str, beside: Path | None = None) -> OwnFile:
    """Return the file that ``FILE.py:FUNCTION`` names; ``noun`` is what the function is.

    It is looked for from the current folder, then from that of ``beside``. ``ExperimentError``
    says what is not there.
    """
    before, _, function = text.rpartition(":")
    path = Path(before)
    if path.suffix != ".py" or not all(part.isidentifier() for part in function.split(".")):
        example = {"loss": "my_vae.py:vae_loss", "network": "nets.py:build"}[noun]
        raise ExperimentError(
            f"{text!r} names no {noun} of your own",
            where=where,
            expected=f"FILE.py:FUNCTION, such as {example}",
            received=repr(text),
        )
    places = [path, *([beside.parent / path] if beside else [])]
    for place in places:
        with suppress(OSError):
            return OwnFile(place, function, place.read_bytes())
    near = {str(file.with_name(file.name)): file for file in path.parent.glob("*.py")}
    raise ExperimentError(
        f"the file of your {noun} cannot be read",
        where=where,
        expected=f"a Python file {' or '.join(dict.fromkeys(map(str, places)))}",
        received=repr(text),
        remedy=did_you_mean(str(path), near)
        or "correct the path; it is relative to the current folder",
    )


def frozen(
    tables: object, section: str, noun: str, where: str, read: Callable[[str, Any], _Read]
) -> dict[str, _Read]:
    """Return what ``read`` makes of each table of a section of a frozen experiment, by its name.

    ``ExperimentError`` if a table is damaged; ``noun`` is what a table is of.
    """
    try:
        assert isinstance(tables, dict)  # noqa: S101 - told below, as all that is wrong here
        return {name: read(name, table) for name, table in tables.items()}
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ExperimentError(
            f"`{section}` is not as it was frozen",
            where=where,
            expected=f"a table for each {noun} of your own, as `lossbench sweep` writes it",
            received=f"{type(error).__name__}: {error}",
        ) from None


def frozen_file(name: str, file: str, function: str, sha256: str, beside: Path) -> OwnFile:
    """Return the file that lies beside a frozen experiment, without its source if it is not there.

    ``ValueError`` if it is not the folder's own, ``ExperimentError`` if it is another one by now.
    """
    if Path(file).name != file or name != f"{file}:{function}":
        raise ValueError(f"{name} of {file}")
    path = beside.parent / file
    found = OwnFile(path, function, path.read_bytes() if path.is_file() else b"")
    if found.source and found.sha256 != sha256:
        raise ExperimentError(
            f"the file of {name} is not the one that was trained",
            where=str(path),
            expected=f"SHA-256 {sha256[:12]}",
            received=f"SHA-256 {found.sha256[:12]}",
            remedy="put it back; a changed file is swept into another folder",
        )
    return found
