"""The workers of a Dask cluster that somebody else started: joined, checked, left as they are."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import distributed

from lossbench.engine.dispatch import Engine, silenced
from lossbench.errors import UsageError
from lossbench.worker import versions

_CONNECT_SECONDS = 10
_FIRST_WORKER_SECONDS = 60
_RESTART_SECONDS = 30
_START = "start one with `dask scheduler` and `dask worker ADDRESS --nthreads 1`"


def address_in(file: Path) -> str:
    """Return the address that a scheduler wrote with ``--scheduler-file``."""
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "the scheduler file cannot be read",
            where=str(file),
            expected="the file that `dask scheduler --scheduler-file FILE` writes",
            received=getattr(error, "strerror", None) or repr(error),
        ) from None


@contextmanager
def join(address: str) -> Iterator[Engine]:
    """Join the cluster whose scheduler is at ``address``.

    Certificates and keys are those of Dask's own configuration. ``UsageError`` if nobody answers,
    there is no worker, or a worker has other versions than this process; one that joins later
    with other versions is given nothing.
    """
    with silenced(), _client(address) as client:
        roll = _Roll(client)
        roll.check(_first_workers(client, address))
        yield Engine(client, None, lambda _, worker: _restart(client, worker), roll.admitted)


def _client(address: str) -> distributed.Client:
    try:
        return distributed.Client(address, set_as_default=False, timeout=_CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise UsageError(
            "no scheduler answers",
            where=address,
            expected="the address of a running Dask scheduler, such as tcp://10.0.0.1:8786",
            received=str(error),
            remedy=_START,
        ) from None


def _restart(client: distributed.Client, worker: str) -> None:
    """Ask a worker that hangs to start again; it may be deaf, so not for long."""
    with suppress(TimeoutError):
        client.restart_workers([worker], timeout=_RESTART_SECONDS, raise_for_error=False)


def _first_workers(client: distributed.Client, address: str) -> dict[str, str]:
    try:
        client.wait_for_workers(1, timeout=_FIRST_WORKER_SECONDS)
    except TimeoutError:
        raise UsageError("the scheduler has no workers", where=address, remedy=_START) from None
    workers = client.scheduler_info(n_workers=-1).get("workers", {})
    return {str(facts["name"]): worker for worker, facts in workers.items()}


class _Roll:
    """The versions of every worker, asked for once each."""

    def __init__(self, client: distributed.Client) -> None:
        self._client = client
        self._here = versions()
        self._there: dict[str, Mapping[str, str]] = {}

    def admitted(self, workers: dict[str, str]) -> dict[str, str]:
        """Return the workers whose versions are those of this process."""
        self._ask(workers)
        return {
            name: address
            for name, address in workers.items()
            if self._there.get(address) == self._here
        }

    def check(self, workers: dict[str, str]) -> None:
        """Raise ``UsageError`` with a table of versions if a worker has others."""
        self._ask(workers)
        different = {
            name: self._there.get(address, {})
            for name, address in workers.items()
            if self._there.get(address) != self._here
        }
        if not different:
            return
        rows = [("", "here", *different)]
        rows += [
            (package, version, *(there.get(package, "none") for there in different.values()))
            for package, version in self._here.items()
            if any(there.get(package) != version for there in different.values())
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        raise UsageError(
            "workers of the cluster have other versions, and would train other bytes",
            expected="the same versions on every worker",
            received="\n    ".join(["", *lines]),
            remedy="install the same requirements.lock and lossbench on every worker",
        )

    def _ask(self, workers: Mapping[str, str]) -> None:
        new = [address for address in workers.values() if address not in self._there]
        if new:
            answers = self._client.run(versions, workers=new, on_error="return")
            self._there |= {
                address: answer if isinstance(answer, dict) else {}
                for address, answer in answers.items()
            }
