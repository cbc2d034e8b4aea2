"""Stacks out to Dask's workers, records back: it does what the policy says."""

import logging
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import distributed

from lossbench.data import Dataset
from lossbench.engine.policy import Assignment, Policy
from lossbench.errors import RunsFailedError
from lossbench.experiment import Device, Stack
from lossbench.run import Record
from lossbench.worker import gpu, train

_LOG_LINES = 12
_POLL_SECONDS = 0.5
_GATHER_SECONDS = 60.0


class Engine:
    """Workers that train stacks; made by ``workers`` or ``join``.

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
        self._policy = Policy(time.monotonic())
        self._asked = 0.0
        self._known: dict[str, Mapping[str, object]] = {}
        self._done: queue.SimpleQueue[distributed.Future] = queue.SimpleQueue()
        self._running: dict[distributed.Future, Assignment] = {}
        self._sent: dict[str, list[distributed.Future]] = {}

    def records(
        self, stacks: Iterable[Stack], data: Callable[[Stack], Dataset]
    ) -> Iterator[list[Record]]:
        """Yield the records of each stack as it finishes, or of its runs as they do.

        ``RunsFailedError`` if the scheduler is gone, or every worker for two minutes.
        """
        self._policy.fill(stacks)
        while self._policy:
            self._check_scheduler()
            self._assign(data)
            for future, assignment in self._ended():
                if records := self._collected(future, assignment):
                    self._assign(data)  # keep the workers busy while records are written
                    yield records

    def _assign(self, data: Callable[[Stack], Dataset]) -> None:
        """Give every idle worker a stack."""
        workers = self._workers()
        if self._policy.is_deserted(workers, time.monotonic()):
            raise RunsFailedError(
                "every worker is gone and none came back; what was finished is kept",
                where=str(self._log_folder or "the cluster"),
                remedy="read the workers' logs, then run the same command again",
            )
        for name, address in workers.items():
            if (stack := self._policy.take(name)) is None:
                continue
            try:
                arrays = self._data(data(stack), list(workers.values()))
            except (OSError, TimeoutError, KeyError):  # workers went away meanwhile: look again
                self._policy.put_back(stack)
                return
            future = self._client.submit(train, stack, *arrays, workers=[address], pure=False)
            self._running[future] = self._policy.begin(stack, name, address, time.monotonic())
            future.add_done_callback(self._done.put)

    def _workers(self) -> dict[str, str]:
        """Return the address of every worker by its name, which outlives a restart."""
        if time.monotonic() - self._asked > _POLL_SECONDS:
            self._asked = time.monotonic()
            self._known = self._client.scheduler_info(n_workers=-1).get("workers", {})
            self._policy.see(self._known, self._asked)
        return self._admit(
            {
                str(facts["name"]): address
                for address, facts in self._known.items()
                if not self._policy.is_gone(address)
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

    def _ended(self) -> list[tuple[distributed.Future, Assignment]]:
        """Wait a while for stacks to finish or to be lost; return those that did."""
        with suppress(queue.Empty):
            self._done.get(timeout=_POLL_SECONDS)
        now = time.monotonic()
        ended = [
            future
            for future, assignment in self._running.items()
            if future.done() or self._policy.is_lost(assignment, now)
        ]
        for future in ended:
            if future.status == "finished":
                self._policy.free(self._running[future])
        return [(future, self._running.pop(future)) for future in ended]

    def _collected(self, future: distributed.Future, assignment: Assignment) -> list[Record]:
        """Tell the policy what became of an assignment; return the records to keep."""
        records = self._result(future, assignment.stack)
        if future.status == "cancelled":
            return self._policy.withdrawn(assignment)
        if records is not None:
            return self._policy.finished(assignment, records)
        if future.done() or not assignment.is_overdue(time.monotonic()):
            words = self._last_words(assignment.worker, "the worker process died")
            return self._policy.died(assignment, words)
        future.cancel()
        words = self._last_words(assignment.worker, "the time limit was over")
        self._restart(assignment.worker, assignment.address)
        return self._policy.timed_out(assignment, words)

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

    def _last_words(self, worker: str, what: str) -> str:
        """Return what happened to a worker, and the last lines in its log."""
        lines: list[str] = []
        if self._log_folder and (log := log_of(self._log_folder, worker)).exists():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return "\n".join([f"{what}; the worker's last lines:", *lines])


@contextmanager
def silenced() -> Iterator[None]:
    """Keep the logs of Dask and its event loop off the terminal: what matters is told once.

    Afterwards Dask tells no more than warnings: by default it reports, as an INFO with a traceback,
    each of its own connections that is still to close.
    """
    loggers = [logging.getLogger(name) for name in ("distributed", "asyncio", "tornado")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level and max(level, logging.WARNING))


def log_of(folder: Path, worker: object) -> Path:
    """Return the file that a worker's output goes to."""
    return folder / f"worker-{worker}.log"
