"""What next, when to try again, whom to blame, when to stop: no Dask, no workers, no clock.

Whoever asks says what happened and when, in seconds of a clock that never goes back.
"""

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from lossbench.columns import Status
from lossbench.experiment import Stack
from lossbench.run import Record
from lossbench.settings import RunSettings

_GRACE_SECONDS = 60.0  # of a stack past its time, before its worker counts as hung
_LEAVE_SECONDS = 5.0  # that a worker may be unknown to the scheduler before it counts as gone
_PATIENCE_SECONDS = 120.0  # without any worker
_MOST_DEATHS = 3  # of workers that had this run alone, before it is blamed
_HOPELESS_STACKS = 5  # in a row

_Shape = tuple[object, ...]
_Entry = tuple[int, int, _Shape]  # of a heap: minus the stacks that wait, the shape's turn, itself


@dataclass(frozen=True, eq=False)
class Assignment:
    """A stack that a worker has, since when."""

    stack: Stack
    worker: str
    address: str
    since: float

    def is_overdue(self, now: float) -> bool:
        """Tell whether the stack's time is over, and a minute more."""
        return now - self.since > self.stack.time_limit + _GRACE_SECONDS


class Policy:
    """Hands stacks to workers, and decides what becomes of those that do not come back well.

    A worker has one stack at a time, of a shape that it has compiled where there is one. A stack
    that fails is tried again run by run, so that one bad run costs one run; a run is blamed for
    the third worker that died while it had this run alone. A worker is known by its name, which
    outlives a restart, and by the address of its process.
    """

    def __init__(self, now: float) -> None:
        self._waiting = Waiting()
        self._running: dict[str, Assignment] = {}
        self._gone: set[str] = set()
        self._seen: dict[str, float] = {}
        self._last_seen = now
        self._last_staffed = now
        self._deaths: Counter[RunSettings] = Counter()

    def fill(self, stacks: Iterable[Stack]) -> None:
        """Have these stacks trained and no others; what workers have compiled stays known."""
        self._waiting.fill(stacks)

    def __bool__(self) -> bool:
        """Tell whether anything is left to do."""
        return bool(self._waiting or self._running)

    # Workers.

    def see(self, addresses: Collection[str], now: float) -> None:
        """Note whom the scheduler knows now."""
        self._seen |= dict.fromkeys(addresses, now)
        self._last_seen = now if addresses else self._last_seen

    def is_gone(self, address: str) -> bool:
        """Tell whether a worker has died or hung, whatever the scheduler knows of it."""
        return address in self._gone

    def is_deserted(self, workers: Collection[str], now: float) -> bool:
        """Tell whether there has been no worker for two minutes; ``workers`` are there now."""
        self._last_staffed = now if workers else self._last_staffed
        return now - self._last_staffed > _PATIENCE_SECONDS

    def is_lost(self, assignment: Assignment, now: float) -> bool:
        """Tell whether to wait no longer: the stack is overdue, or its worker was not seen."""
        last = self._seen.get(assignment.address, self._last_seen)
        return assignment.is_overdue(now) or self._last_seen - last > _LEAVE_SECONDS

    # Stacks.

    def take(self, worker: str) -> Stack | None:
        """Return the stack that a worker should have next; None if it is busy or none waits."""
        if worker in self._running or not self._waiting:
            return None
        return self._waiting.take(worker)

    def put_back(self, stack: Stack) -> None:
        """Let a stack wait again that could not be sent."""
        self._waiting.put_back([stack])

    def begin(self, stack: Stack, worker: str, address: str, now: float) -> Assignment:
        """Note that a worker has a stack."""
        assignment = self._running[worker] = Assignment(stack, worker, address, now)
        return assignment

    def free(self, assignment: Assignment) -> None:
        """Let a worker have another stack while what it returned of this one is looked at."""
        if self._running.get(assignment.worker) is assignment:
            del self._running[assignment.worker]

    # What became of an assignment; each returns the records to keep, none where it goes again.

    def finished(self, assignment: Assignment, records: list[Record]) -> list[Record]:
        """Take what a worker returned, unless the stack crashed: then its runs go again."""
        self.free(assignment)
        if any(record.status == "crashed" for record in records) and self._split(assignment.stack):
            return []
        return records

    def timed_out(self, assignment: Assignment, message: str) -> list[Record]:
        """Give up a stack that is overdue, and the worker that hangs over it."""
        self._forget(assignment)
        return self._blamed(assignment.stack, "timeout", message)

    def died(self, assignment: Assignment, message: str) -> list[Record]:
        """Give up a stack whose worker died, if it was a run alone that has killed three."""
        self._forget(assignment)
        stack = assignment.stack
        if len(stack.runs) == 1:
            self._deaths.update(stack.runs)
            if self._deaths[stack.runs[0]] < _MOST_DEATHS:
                self._waiting.put_back([stack])
                return []
        return self._blamed(stack, "crashed", message)

    def withdrawn(self, assignment: Assignment) -> list[Record]:
        """Let a stack wait again that went with its scheduler: no run is to blame."""
        self.free(assignment)
        self._waiting.put_back([assignment.stack])
        return []

    def _forget(self, assignment: Assignment) -> None:
        """Count a worker as gone, with all that it has compiled."""
        self.free(assignment)
        self._waiting.forget(assignment.worker)
        self._gone.add(assignment.address)

    def _blamed(self, stack: Stack, status: Status, message: str) -> list[Record]:
        """Return the record of a run that failed alone; several go again one by one."""
        return [] if self._split(stack) else [Record.failed(stack.runs[0], status, message)]

    def _split(self, stack: Stack) -> bool:
        """Let the runs of a stack wait one by one, if there are several."""
        is_split = len(stack.runs) > 1
        if is_split:
            self._waiting.put_back(replace(stack, runs=(run,)) for run in stack.runs)
        return is_split


class Hope:
    """Tells whether a sweep is worth going on with: five stacks in a row without a success are not.

    A stack is one as it was planned, also if its runs were tried one by one.
    """

    def __init__(self, stacks: Sequence[Stack]) -> None:
        self._stack_of = {run.run_id: n for n, stack in enumerate(stacks) for run in stack.runs}
        self._n_left = {number: len(stack.runs) for number, stack in enumerate(stacks)}
        self.n_hopeless = 0

    def note(self, record: Record) -> None:
        """Note what became of a run."""
        stack = self._stack_of[record.run_id]
        if record.status == "ok":
            self.n_hopeless = 0
            self._n_left.pop(stack, None)  # what has one success is not hopeless
        elif stack in self._n_left:
            self._n_left[stack] -= 1
            self.n_hopeless += self._n_left[stack] == 0

    def __bool__(self) -> bool:
        """Tell whether to go on."""
        return self.n_hopeless < _HOPELESS_STACKS


class Waiting:
    """Stacks in the order of their shapes; those that go again come first within theirs.

    It knows which workers have compiled which shapes. Each worker has a heap of its shapes, and
    ``None`` one of those that no worker has compiled; an entry that is out of date is dropped
    where it comes to the top.
    """

    def __init__(self, stacks: Iterable[Stack] = ()) -> None:
        self._compilers: dict[_Shape, set[str]] = {}
        self.fill(stacks)

    def fill(self, stacks: Iterable[Stack]) -> None:
        """Let these stacks wait and no others; what workers have compiled stays known."""
        self._stacks: dict[_Shape, deque[Stack]] = {}
        self._turns: dict[_Shape, int] = {}
        self._heaps: dict[str | None, list[_Entry]] = {}
        self._turn = itertools.count()
        for stack in stacks:
            self._of_shape(stack.shape).append(stack)
        for shape in self._stacks:
            self._enter(shape)

    def __bool__(self) -> bool:
        """Tell whether any stack waits."""
        return bool(self._stacks)

    def put_back(self, stacks: Iterable[Stack]) -> None:
        """Let stacks go again, before the others of their shape."""
        for stack in stacks:
            self._of_shape(stack.shape).appendleft(stack)
            self._enter(stack.shape)

    def take(self, worker: str) -> Stack:
        """Return a stack for a worker, which has compiled its shape from then on.

        A shape that the worker has compiled comes first; then one that no worker has; then the
        shape of which most stacks wait. ``IndexError`` if none waits.
        """
        if not self._stacks:
            raise IndexError("no stack waits")
        first = self._first(worker) or self._first(None)
        *_, shape = first or min(filter(None, map(self._first, self._heaps)))
        stack = self._stacks[shape].popleft()
        self._compilers.setdefault(shape, set()).add(worker)
        if self._stacks[shape]:
            self._enter(shape)
        else:
            del self._stacks[shape]
        return stack

    def forget(self, worker: str) -> None:
        """Count a worker as new: the process that has compiled its shapes is gone."""
        self._heaps.pop(worker, None)
        for shape, compilers in self._compilers.items():
            if worker in compilers:
                compilers.remove(worker)
                if shape in self._stacks:
                    self._enter(shape)

    def _of_shape(self, shape: _Shape) -> deque[Stack]:
        """Return the stacks of a shape; one of which none waited has the last turn."""
        if shape not in self._stacks:
            self._stacks[shape] = deque()
            self._turns[shape] = next(self._turn)
        return self._stacks[shape]

    def _entry(self, shape: _Shape) -> _Entry:
        return -len(self._stacks[shape]), self._turns[shape], shape

    def _enter(self, shape: _Shape) -> None:
        """Put a shape onto the heap of every worker that has compiled it, or of none."""
        for worker in self._compilers.get(shape) or (None,):
            heapq.heappush(self._heaps.setdefault(worker, []), self._entry(shape))

    def _first(self, worker: str | None) -> _Entry | None:
        """Return the first shape of a worker's heap, or of that of no worker."""
        heap = self._heaps.get(worker, [])
        while heap and not self._is_current(heap[0], worker):
            heapq.heappop(heap)
        return heap[0] if heap else None

    def _is_current(self, entry: _Entry, worker: str | None) -> bool:
        *_, shape = entry
        compilers = self._compilers.get(shape, ())
        is_its = worker in compilers if worker is not None else not compilers
        return is_its and shape in self._stacks and entry == self._entry(shape)
