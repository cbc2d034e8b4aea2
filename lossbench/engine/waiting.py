"""The stacks that wait for a worker, by shape: each is found in a moment, however many wait."""

import heapq
import itertools
from collections import deque
from collections.abc import Iterable

from lossbench.experiment import Stack

Shape = tuple[object, ...]
_Entry = tuple[int, int, Shape]  # of a heap: minus the stacks that wait, the shape's turn, itself


class Waiting:
    """Stacks in the order of their shapes; those that go again come first within theirs.

    It knows which workers have compiled which shapes. Each worker has a heap of its shapes, and
    ``None`` one of those that no worker has compiled; an entry that is out of date is dropped
    where it comes to the top.
    """

    def __init__(self, stacks: Iterable[Stack] = ()) -> None:
        self._compilers: dict[Shape, set[str]] = {}
        self.fill(stacks)

    def fill(self, stacks: Iterable[Stack]) -> None:
        """Let these stacks wait and no others; what workers have compiled stays known."""
        self._stacks: dict[Shape, deque[Stack]] = {}
        self._turns: dict[Shape, int] = {}
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

    def _of_shape(self, shape: Shape) -> deque[Stack]:
        """Return the stacks of a shape; one of which none waited has the last turn."""
        if shape not in self._stacks:
            self._stacks[shape] = deque()
            self._turns[shape] = next(self._turn)
        return self._stacks[shape]

    def _entry(self, shape: Shape) -> _Entry:
        return -len(self._stacks[shape]), self._turns[shape], shape

    def _enter(self, shape: Shape) -> None:
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
