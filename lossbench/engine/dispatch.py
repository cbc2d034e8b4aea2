"""Stacks to workers: one at a time, of a shape that the worker has compiled where there is one."""

import queue
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import distributed

from lossbench.data import Dataset
from lossbench.errors import RunsFailedError
from lossbench.experiment import RunSettings, Stack
from lossbench.worker import Outcome, train

_LOG_LINES = 12
_GRACE_SECONDS = 60.0
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 120.0
_MOST_DEATHS = 2  # of workers, before the run that they had is blamed


@dataclass(frozen=True)
class _Assignment:
    stack: Stack
    worker: str
    address: str
    since: float

    @property
    def is_overdue(self) -> bool:
        limit = self.stack.runs[0].time_limit * len(self.stack.runs)
        return time.monotonic() - self.since > limit + _GRACE_SECONDS


class Engine:
    """Workers that train stacks; made by ``workers``."""

    def __init__(
        self, client: distributed.Client, log_folder: Path | None, kill: Callable[[str], None]
    ) -> None:
        self._client = client
        self._log_folder = log_folder
        self._kill = kill
        self._last_seen = time.monotonic()
        self._done: queue.SimpleQueue[distributed.Future] = queue.SimpleQueue()
        self._running: dict[distributed.Future, _Assignment] = {}
        self._compiled: dict[str, set[tuple[object, ...]]] = {}
        self._sent: dict[str, list[distributed.Future]] = {}
        self._gone: set[str] = set()
        self._deaths: Counter[RunSettings] = Counter()

    def outcomes(
        self, stacks: Iterable[Stack], data: Callable[[Stack], Dataset]
    ) -> Iterator[list[Outcome]]:
        """Yield the outcomes of each stack as it finishes.

        A stack that dies is tried again run by run, so that one bad run costs one run.
        """
        waiting = list(stacks)
        while waiting or self._running:
            self._assign(waiting, data)
            for future, assignment in self._finished():
                outcomes, again = self._collected(future, assignment)
                waiting[:0] = again
                if outcomes:
                    self._assign(waiting, data)  # keep the workers busy while records are written
                    yield outcomes

    def _assign(self, waiting: list[Stack], data: Callable[[Stack], Dataset]) -> None:
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
            if name in busy or not waiting:
                continue
            stack = self._next(name, waiting)
            waiting.remove(stack)
            self._compiled.setdefault(name, set()).add(stack.shape)
            future = self._client.submit(
                train, stack, *self._data(data(stack)), workers=[address], pure=False
            )
            self._running[future] = _Assignment(stack, name, address, time.monotonic())
            future.add_done_callback(self._done.put)

    def _workers(self) -> dict[str, str]:
        """Return the address of every worker by its name, which outlives a restart."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return {
            str(facts["name"]): address
            for address, facts in workers.items()
            if address not in self._gone
        }

    def _next(self, worker: str, waiting: list[Stack]) -> Stack:
        mine = self._compiled.get(worker, set())
        others = set().union(*(self._compiled.values())) - mine
        n_waiting: dict[tuple[object, ...], int] = {}
        for stack in waiting:
            n_waiting[stack.shape] = n_waiting.get(stack.shape, 0) + 1
        return max(
            waiting,
            key=lambda stack: (
                stack.shape in mine,
                stack.shape not in others,
                n_waiting[stack.shape],
            ),
        )

    def _data(self, dataset: Dataset) -> list[distributed.Future]:
        """Return the dataset's arrays on the workers; they travel once per worker."""
        sent = self._sent.get(dataset.sha256)
        if sent is None or any(future.status != "finished" for future in sent):
            sent = self._client.scatter([dataset.train, dataset.test], broadcast=True, hash=False)
            self._sent[dataset.sha256] = sent
        return sent

    def _finished(self) -> list[tuple[distributed.Future, _Assignment]]:
        """Wait a while for stacks to finish or to be overdue; return those that did."""
        with suppress(queue.Empty):
            self._done.get(timeout=_POLL_SECONDS)
        ended = [f for f, job in self._running.items() if f.done() or job.is_overdue]
        return [(future, self._running.pop(future)) for future in ended]

    def _collected(
        self, future: distributed.Future, assignment: _Assignment
    ) -> tuple[list[Outcome], list[Stack]]:
        """Return a finished stack's outcomes, or its runs one by one to try again."""
        stack = assignment.stack
        if not future.done():
            future.cancel()
            words = self._last_words(assignment.worker, "the time limit was over")
            self._restart(assignment)
            failure = Outcome(stack.runs[0], "timeout", message=words)
        elif future.status == "finished":
            outcomes: list[Outcome] = future.result()
            if all(outcome.status != "crashed" for outcome in outcomes):
                return outcomes, []
            failure = outcomes[0]
        else:
            self._compiled.pop(assignment.worker, None)
            self._gone.add(assignment.address)  # the scheduler may not have noticed yet
            self._deaths.update(stack.runs)
            if self._deaths[stack.runs[0]] < _MOST_DEATHS:
                return [], [replace(stack, runs=(run,)) for run in stack.runs]
            failure = Outcome(
                stack.runs[0],
                "crashed",
                message=self._last_words(assignment.worker, "the worker process died"),
            )
        if len(stack.runs) == 1:
            return [failure], []
        return [], [replace(stack, runs=(run,)) for run in stack.runs]

    def _restart(self, assignment: _Assignment) -> None:
        """End a worker that hangs; another process takes its place and its name.

        A worker of this machine is killed: asked to restart, it may never come back. One
        elsewhere can only be asked, and not for long.
        """
        self._compiled.pop(assignment.worker, None)
        self._gone.add(assignment.address)
        if self._log_folder is not None:
            self._kill(assignment.worker)
            return
        with suppress(TimeoutError):
            self._client.restart_workers(
                [assignment.address], timeout=_GRACE_SECONDS, raise_for_error=False
            )

    def _last_words(self, worker: str, what: str) -> str:
        """Return what happened to a worker, and the last lines in its log."""
        log = log_of(self._log_folder, worker) if self._log_folder else None
        lines: list[str] = []
        if log is not None and log.exists():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return "\n".join([f"{what}; the worker's last lines:", *lines])


def log_of(folder: Path | None, worker: object) -> Path:
    """Return the file that a worker's output goes to."""
    return (folder or Path()) / f"worker-{worker}.log"
