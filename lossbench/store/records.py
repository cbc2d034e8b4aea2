"""Whole records: one checked JSON file a run, written completely or not at all."""

import hashlib
import json
import os
import secrets
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import cast

from lossbench.columns import Status
from lossbench.errors import ResultsError
from lossbench.run import Record
from lossbench.settings import FORMAT_VERSION
from lossbench.words import plain

_HEAD = b'{"sha256": "'
_MIDDLE = b'",\n"record": '
_TAIL = b"}\n"
_LAST_FACT = f', "format": {FORMAT_VERSION}}}'.encode()
_DIGEST_LENGTH = 64
_BESIDE = ("arrays", "weights")  # files of their own
_FACTS = {field.name: field for field in fields(Record) if field.name not in _BESIDE}
_NEEDED = {"run_id", "status", "settings", "derived"}
RECORD_SUFFIX = ".json"
TEMPORARY_SUFFIX = ".tmp"


class DamagedRecord(ResultsError):  # noqa: N818 - it says what was found
    """A record's bytes are not those that were written."""


def encoded(record: Record) -> bytes:
    """Return the record as JSON that carries the SHA-256 of its own body."""
    facts = {name: getattr(record, name) for name in _FACTS}
    body = json.dumps(plain(facts), allow_nan=False).encode()
    return b"".join((_HEAD, hashlib.sha256(body).hexdigest().encode(), _MIDDLE, body, _TAIL))


def decoded(raw: bytes, path: str) -> Record:
    """Return the record in ``raw``; ``DamagedRecord`` if it is not whole or not from ``path``."""
    try:
        facts = json.loads(_body(raw, path))
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise DamagedRecord("the record holds something else", where=path)
    if facts.get("run_id") != run_id_of(path):
        raise DamagedRecord("the record belongs to another run", where=path)
    if facts.get("format") != FORMAT_VERSION:
        raise ResultsError(
            "the record has a format that this version does not know",
            where=path,
            expected=f"format {FORMAT_VERSION}",
            received=f"format {facts.get('format')}",
            remedy="use the version of lossbench that wrote it",
        )
    if _NEEDED <= facts.keys() <= _FACTS.keys():
        return Record(**facts)
    raise DamagedRecord("the record has other facts than a record", where=path)


def id_and_status(raw: bytes, path: str) -> tuple[str, Status]:
    """Return the run's id and status as ``decoded`` would, without reading the rest."""
    body = _body(raw, path)
    run_id = run_id_of(path)
    start = f'{{"run_id": "{run_id}", "status": "'.encode()
    if body.startswith(start) and body.endswith(_LAST_FACT):
        status = body[len(start) : body.index(b'"', len(start))].decode()
        return run_id, cast(Status, status)
    record = decoded(raw, path)
    return record.run_id, record.status


def run_id_of(path: str) -> str:
    """Return the id that a record's file is named for."""
    return path.rpartition("/")[2].removesuffix(RECORD_SUFFIX)


def _body(raw: bytes, path: str) -> bytes:
    """Return the JSON of a record whose bytes are those that were written."""
    digest_end = len(_HEAD) + _DIGEST_LENGTH
    body = raw[digest_end + len(_MIDDLE) : -len(_TAIL)]
    digest = hashlib.sha256(body).hexdigest().encode()
    if raw != b"".join((_HEAD, digest, _MIDDLE, body, _TAIL)):
        raise DamagedRecord("the record is damaged", where=path)
    return body


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that at every moment it holds its old bytes or its new ones.

    What is written first has a name that no other write has had: in containers every process may
    have the same number. ``ResultsError`` names the path where the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{TEMPORARY_SUFFIX}")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(temporary, path)  # noqa: PTH105 - every step of a write goes through os
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):  # a disk that refuses the write may refuse this too
            temporary.unlink()
        raise ResultsError(
            "the results cannot be written",
            where=str(path),
            received=error.strerror or str(error),
            remedy="free some space or mend the permissions, then run the same command again: "
            "it goes on where it stopped",
        ) from error
