"""Stacks to workers: one at a time, of a shape that the worker has compiled where there is one."""

import logging
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import distributed

from lossbench.data import Dataset
from lossbench.engine.waiting import Waiting
from lossbench.errors import RunsFailedError
from lossbench.experiment import Device, RunSettings, Stack
from lossbench.run import Record
from lossbench.worker import gpu, train

_LOG_LINES = 12
_GRACE_SECONDS = 60.0
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 120.0
_MOST_DEATHS = 3  # of workers that had this run alone, before it is blamed
_GATHER_SECONDS = 60.0
_LEAVE_SECONDS = 5.0  # that a worker may be unknown to the scheduler before it counts as gone


@dataclass(frozen=True)
class _Assignment:
    stack: Stack
    worker: str
    address: str
    since: float

    @property
    def is_overdue(self) -> bool:
        return time.monotonic() - self.since > self.stack.time_limit + _GRACE_SECONDS


class Engine:
    """Workers that train stacks; made by ``workers``.

    ``device`` is a GPU if every worker has one. ``restart`` ends a worker, by its name and
    address, so that another process takes its place; ``admit`` returns those of some workers
    (addresses by name) that may be given runs.
    """

    def __init__(
        self,
        client: distributed.Client,
        log_folder: Path | None,
        restart: Callable[[str, str], None],
        admit: Callable[[dict[str, str]], dict[str, str]] = dict,
    ) -> None:
        gpus = client.run(gpu, on_error="return").values()
        on_gpus = bool(gpus) and all(isinstance(name, str) for name in gpus)
        self.device: Device = "GPU" if on_gpus else "CPU"
        self._client = client
        self._log_folder = log_folder
        self._restart = restart
        self._admit = admit
        self._last_seen = time.monotonic()
        self._asked = 0.0
        self._known: dict[str, Mapping[str, object]] = {}
        self._seen: dict[str, float] = {}
        self._done: queue.SimpleQueue[distributed.Future] = queue.SimpleQueue()
        self._running: dict[distributed.Future, _Assignment] = {}
        self._waiting = Waiting()
        self._sent: dict[str, list[distributed.Future]] = {}
        self._gone: set[str] = set()
        self._deaths: Counter[RunSettings] = Counter()

    def records(
        self, stacks: Iterable[Stack], data: Callable[[Stack], Dataset]
    ) -> Iterator[list[Record]]:
        """Yield the records of each stack as it finishes.

        A stack that dies is tried again run by run, so that one bad run costs one run.
        """
        self._waiting.fill(stacks)
        while self._waiting or self._running:
            self._check_scheduler()
            self._assign(data)
            for future, assignment in self._finished():
                records, again = self._collected(future, assignment)
                self._waiting.put_back(again)
                if records:
                    self._assign(data)  # keep the workers busy while records are written
                    yield records

    def _assign(self, data: Callable[[Stack], Dataset]) -> None:
        """Give every idle worker a stack, of a shape that it has compiled where there is one."""
        busy = {assignment.worker for assignment in self._running.values()}
        names = self._workers()
        if names:
            self._last_seen = time.monotonic()
        elif time.monotonic() - self._last_seen > _PATIENCE_SECONDS:
            raise RunsFailedError(
                "every worker is gone and none came back; what was finished is kept",
                where=str(self._log_folder or "the cluster"),
                remedy="read the workers' logs, then run the same command again",
            )
        for name, address in names.items():
            if name in busy or not self._waiting:
                continue
            stack = self._waiting.take(name)
            try:
                arrays = self._data(data(stack), list(names.values()))
            except (OSError, TimeoutError, KeyError):  # workers went away meanwhile: look again
                self._waiting.put_back([stack])
                return
            future = self._client.submit(train, stack, *arrays, workers=[address], pure=False)
            self._running[future] = _Assignment(stack, name, address, time.monotonic())
            future.add_done_callback(self._done.put)

    def _workers(self) -> dict[str, str]:
        """Return the address of every worker by its name, which outlives a restart."""
        if time.monotonic() - self._asked > _POLL_SECONDS:
            self._asked = time.monotonic()
            self._known = self._client.scheduler_info(n_workers=-1).get("workers", {})
            self._seen |= dict.fromkeys(self._known, self._asked)
        return self._admit(
            {
                str(facts["name"]): address
                for address, facts in self._known.items()
                if address not in self._gone
            }
        )

    def _check_scheduler(self) -> None:
        """Raise ``RunsFailedError`` if the scheduler is gone for good."""
        if self._client.status in ("closing", "closed"):
            raise RunsFailedError(
                "the connection to the scheduler is lost; what was finished is kept",
                where=str(self._client.scheduler.address if self._client.scheduler else ""),
                remedy="start the scheduler and its workers again, then run the same command: "
                "it goes on where it stopped",
            )

    def _data(self, dataset: Dataset, workers: list[str]) -> list[distributed.Future]:
        """Return the dataset's arrays on the workers; they travel once per worker."""
        sent = self._sent.get(dataset.sha256)
        if sent is None or any(future.status != "finished" for future in sent):
            sent = self._client.scatter(
                [dataset.train, dataset.test], workers=workers, broadcast=True, hash=False
            )
            self._sent[dataset.sha256] = sent
        return sent

    def _finished(self) -> list[tuple[distributed.Future, _Assignment]]:
        """Wait a while for stacks to finish or to be overdue; return those that did."""
        with suppress(queue.Empty):
            self._done.get(timeout=_POLL_SECONDS)
        ended = [
            future
            for future, job in self._running.items()
            if future.done() or job.is_overdue or self._has_left(job.address)
        ]
        return [(future, self._running.pop(future)) for future in ended]

    def _collected(
        self, future: distributed.Future, assignment: _Assignment
    ) -> tuple[list[Record], list[Stack]]:
        """Return a finished stack's records, or its runs one by one to try again."""
        stack = assignment.stack
        records = self._result(future, stack)
        if future.status == "cancelled":  # with its scheduler: no run is to blame
            return [], [stack]
        if not future.done() and assignment.is_overdue:
            future.cancel()
            words = self._last_words(assignment.worker, "the time limit was over")
            self._forget(assignment)
            self._restart(assignment.worker, assignment.address)
            failure = Record.failed(stack.runs[0], "timeout", words)
        elif records is not None:
            if all(record.status != "crashed" for record in records):
                return records, []
            failure = records[0]
        else:
            self._forget(assignment)
            words = self._last_words(assignment.worker, "the worker process died")
            failure = Record.failed(stack.runs[0], "crashed", words)
            if len(stack.runs) == 1:
                self._deaths.update(stack.runs)
                if self._deaths[stack.runs[0]] < _MOST_DEATHS:
                    return [], [stack]
        if len(stack.runs) == 1:
            return [failure], []
        return [], [replace(stack, runs=(run,)) for run in stack.runs]

    def _forget(self, assignment: _Assignment) -> None:
        """Count a worker as gone; the scheduler may not have noticed yet."""
        self._waiting.forget(assignment.worker)
        self._gone.add(assignment.address)

    def _result(self, future: distributed.Future, stack: Stack) -> list[Record] | None:
        """Return what became of a stack; None if it is not done, or if its worker died."""
        if future.status not in ("finished", "error"):
            return None
        try:
            records: list[Record] = future.result(timeout=_GATHER_SECONDS)
        except (OSError, TimeoutError, distributed.CancelledError, distributed.KilledWorker):
            return None
        except Exception as error:  # of a worker that lives on
            message = f"{type(error).__name__}: {error}"
            return [Record.failed(run, "crashed", message) for run in stack.runs]
        return records

    def _has_left(self, address: str) -> bool:
        """Tell whether the scheduler has not known a worker for a while."""
        last = self._seen.get(address, time.monotonic())
        return max(self._seen.values(), default=last) - last > _LEAVE_SECONDS

    def _last_words(self, worker: str, what: str) -> str:
        """Return what happened to a worker, and the last lines in its log."""
        log = log_of(self._log_folder, worker) if self._log_folder else None
        lines: list[str] = []
        if log is not None and log.exists():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return "\n".join([f"{what}; the worker's last lines:", *lines])


def silence() -> None:
    """Keep the logs of Dask and its event loop off the terminal: what matters is told once."""
    for name in ("distributed", "asyncio", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def log_of(folder: Path | None, worker: object) -> Path:
    """Return the file that a worker's output goes to."""
    return (folder or Path()) / f"worker-{worker}.log"
