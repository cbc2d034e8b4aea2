"""The stacks that wait for a worker, by shape: each is found in a moment, however many wait."""

from collections import deque
from collections.abc import Collection, Iterable

from lossbench.experiment import Stack

Shape = tuple[object, ...]


class Waiting:
    """Stacks in the order of their shapes; those that go again come first within theirs."""

    def __init__(self, stacks: Iterable[Stack]) -> None:
        self._by_shape: dict[Shape, deque[Stack]] = {}
        for stack in stacks:
            self._by_shape.setdefault(stack.shape, deque()).append(stack)

    def __bool__(self) -> bool:
        """Tell whether any stack waits."""
        return bool(self._by_shape)

    def put_back(self, stacks: Iterable[Stack]) -> None:
        """Let stacks go again, before the others of their shape."""
        for stack in stacks:
            self._by_shape.setdefault(stack.shape, deque()).appendleft(stack)

    def take(self, compiled: Collection[Shape], elsewhere: Collection[Shape]) -> Stack:
        """Return a stack for a worker that has ``compiled`` some shapes.

        One of these comes first; then a shape that no other worker has compiled (``elsewhere``);
        then the shape of which most stacks wait. ``IndexError`` if none waits.
        """
        if not self._by_shape:
            raise IndexError("no stack waits")
        shape = max(
            self._by_shape,
            key=lambda shape: (
                shape in compiled,
                shape not in elsewhere,
                len(self._by_shape[shape]),
            ),
        )
        stack = self._by_shape[shape].popleft()
        if not self._by_shape[shape]:
            del self._by_shape[shape]
        return stack
