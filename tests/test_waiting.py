"""The queue of waiting stacks hands out what its rule says, in no time."""

import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lossbench import experiment
from lossbench.engine.policy import Waiting
from lossbench.experiment import Stack


def stacks(shapes: Sequence[int]) -> list[Stack]:
    """Return a stack for each entry, which stands for a shape; each stack is another one."""
    axes = {"loss": "docs", "reconstruction_loss": "bce", "beta": "1", "k": "2", "d": "4"}
    (run,) = experiment.read(None, axes | {"seeds": "1"}).runs()
    return [
        Stack((replace(run, epochs=1 + shape, seed=number),), width=1)
        for number, shape in enumerate(shapes)
    ]


class Rule:
    """The rule of ``Waiting``, by looking at every shape each time."""

    def __init__(self, stacks: Sequence[Stack]) -> None:
        self.waiting: dict[tuple[object, ...], deque[Stack]] = {}
        self.compiled: dict[str, set[tuple[object, ...]]] = {}
        for stack in stacks:
            self.waiting.setdefault(stack.shape, deque()).append(stack)

    def put_back(self, stacks: Sequence[Stack]) -> None:
        """Let stacks go again, before the others of their shape."""
        for stack in stacks:
            self.waiting.setdefault(stack.shape, deque()).appendleft(stack)

    def take(self, worker: str) -> Stack:
        """Return the first stack of the best shape, of equal ones the first."""
        mine = self.compiled.setdefault(worker, set())
        elsewhere = set().union(*self.compiled.values()) - mine
        shape = max(
            self.waiting,
            key=lambda shape: (shape in mine, shape not in elsewhere, len(self.waiting[shape])),
        )
        mine.add(shape)
        stack = self.waiting[shape].popleft()
        if not self.waiting[shape]:
            del self.waiting[shape]
        return stack

    def forget(self, worker: str) -> None:
        """Count a worker as new."""
        self.compiled.pop(worker, None)


@pytest.mark.parametrize("seed", range(50))
def test_stacks_go_out_in_the_order_of_the_rule(seed: int) -> None:
    """Whatever is taken, put back or forgotten: as when every shape is looked at each time."""
    chance = random.Random(seed)  # noqa: S311
    n_shapes, n_workers = chance.randint(1, 12), chance.randint(1, 5)
    made = stacks([chance.randrange(n_shapes) for _ in range(chance.randint(1, 60))])
    waiting, rule = Waiting(made), Rule(made)
    out: list[Stack] = []
    for _ in range(300):
        worker = str(chance.randrange(n_workers))
        what = chance.choices(["take", "put back", "forget"], [10, 5, 1])[0]
        if what == "take" and waiting:
            stack = waiting.take(worker)
            assert stack is rule.take(worker)
            out.append(stack)
        elif what == "put back":
            again = [out.pop(chance.randrange(len(out))) for _ in range(min(len(out), 2))]
            waiting.put_back(again)
            rule.put_back(again)
        elif what == "forget":
            waiting.forget(worker)
            rule.forget(worker)
        assert bool(waiting) == bool(rule.waiting)


def test_a_worker_gets_what_it_has_compiled_then_what_nobody_has() -> None:
    """Its own shapes first, then shapes that are new to all, then the commonest."""
    rare, common = 0, 1
    made = stacks([rare, rare, common, common, common])
    waiting = Waiting(made)
    assert waiting.take("one") is made[2]
    assert waiting.take("two") is made[0]
    assert waiting.take("one") is made[3]
    waiting.put_back([made[3]])
    assert waiting.take("three") is made[3]
    waiting.fill(made[:3])
    assert waiting.take("two") is made[0]
    assert waiting.take("two") is made[1]
    waiting.forget("one")
    waiting.forget("three")
    assert waiting.take("four") is made[2]
    assert not waiting
    with pytest.raises(IndexError):
        waiting.take("one")


@pytest.mark.parametrize("n_workers", [1, 2, 64])
def test_thousands_of_shapes_are_handed_out_in_no_time(n_workers: int) -> None:
    """Twice 4,000 stacks of 4,000 shapes in under two seconds of this process, all in all."""
    made = stacks([*range(4000), *range(4000)])
    for stack in made:
        assert stack.shape  # which a stack keeps
    started = time.process_time()
    waiting = Waiting(made)
    for number in range(len(made)):
        waiting.take(str(number % n_workers))
    assert time.process_time() - started < 2
    assert not waiting
