"""One writer at a time: a results folder is held by one process, and refusals are told."""

import getpass
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from lossbench.errors import ResultsError
from lossbench.store.records import TEMPORARY_SUFFIX

RECORDS_FOLDER = "runs"
_LOCK = ".lock"


@contextmanager
def held(folder: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold a results folder; ``on_wait`` is told who holds it before waiting for them.

    ``ResultsError`` if the folder cannot be made or written, or a link would lead out of it.
    """
    records = folder / RECORDS_FOLDER
    with refusals_told(folder):
        records.mkdir(parents=True, exist_ok=True)
        _refuse_links(folder)
        lock = filelock.FileLock(folder / _LOCK)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            on_wait((folder / _LOCK).read_text(encoding="utf-8").strip())
            lock.acquire()
    try:
        with refusals_told(folder):
            _note(folder, f"{_user()} on {socket.gethostname()}, process {os.getpid()}")
            for place in (folder, records):
                for stray in place.glob(f".*{TEMPORARY_SUFFIX}"):
                    stray.unlink(missing_ok=True)
        yield
    finally:
        with suppress(OSError):
            _note(folder, "")  # whoever waits is not told of one who has gone
        lock.release()


def _user() -> str:
    """Return the name of who runs this process, or the number: containers know some by it alone."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # Python 3.13 raises the second
        return f"user {os.getuid()}"


def _note(folder: Path, holder: str) -> None:
    """Write down who holds the folder."""
    (folder / _LOCK).write_text(f"{holder}\n", encoding="utf-8")


def _refuse_links(folder: Path) -> None:
    """Refuse a folder in which a link would have us write elsewhere."""
    for name in (RECORDS_FOLDER, "logs", _LOCK):
        path = folder / name
        if path.is_symlink():
            raise ResultsError(
                "the results folder holds a link, and what is written would land elsewhere",
                where=str(path),
                expected="a folder or a file of its own",
                received=f"a link to {path.readlink()}",
                remedy="remove the link; the results folder itself may be one",
            )


@contextmanager
def refusals_told(folder: Path) -> Iterator[None]:
    """Tell what the disk refuses, with the path that it refuses."""
    try:
        yield
    except OSError as error:
        raise ResultsError(
            "the results folder cannot be used",
            where=str(error.filename or folder),
            received=error.strerror or str(error),
            remedy="free some space or mend the permissions, or choose another folder with --out",
        ) from None
