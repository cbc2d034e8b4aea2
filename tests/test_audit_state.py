"""What a call changes is put back, and told in words that are short."""

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from audited.kinds import K, mse

from lossbench.auditing.loading import from_function
from lossbench.auditing.probe import Probe
from lossbench.auditing.records import Moved

PROBE = Probe(12, 3, 5, 5, 1000, (12,), mean=1.0, high=0.5)


class Keeping:
    """A loss that keeps something under a name, and another thing after each call."""

    def __init__(self, before: object, after: object) -> None:
        self.kept, self._after = before, after

    def __call__(self, x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
        """Return R + K."""
        self.kept = self._after
        return mse(x, x_hat) + K(z_mean, z_log_var).sum(1).mean()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (3, 4, ("3", "4")),
        (0.123456789, 2e-9, ("0.123457", "2e-09")),
        (1_234_567_890, 1_234_567_891, ("1234567890", "1234567891")),
        ("on", "o" * 60, ("on", "o" * 40)),
        (False, True, ("False", "True")),
        (None, 1.0, ("None", "1")),
        ([1, 2], [1, 2, 3], ("[1, 2]", "[1, 2, 3]")),
        ({"a": 1}, {"a": 2}, ("{'a': 1}", "{'a': 2}")),
        ([1] * 8, [1] * 9, ("[1, 1, 1, 1, 1, 1, 1, 1]", "list of 9")),
        ([1, np.zeros(9)], [1], ("list of 2", "[1]")),
        ((), (1.5, "a"), ("()", "(1.5, 'a')")),
        (np.array(2.5), np.array([7]), ("2.5", "7")),
        (np.zeros((2, 3)), np.ones((2, 3)), ("(2, 3), mean 0", "(2, 3), mean 1")),
    ],
)
def test_what_moved_is_told_before_and_after(
    before: object, after: object, told: tuple[str, str]
) -> None:
    """Numbers to six digits, short lists whole, long ones by their length; and it is put back."""
    loss = Keeping(before, after)
    asked = from_function(loss, "keeping", {}, {})
    for _ in range(2):
        answer = asked(PROBE)
        assert answer.failure is None
        assert answer.moved == (Moved("self.kept", *told),)
        assert loss.kept is before


@pytest.mark.parametrize("kept", [3, "on", [1, 2], np.zeros(3), np.array("text"), object()])
def test_what_stays_as_it_was_is_not_told(kept: object) -> None:
    """Nor what is no number and no text."""
    assert from_function(Keeping(kept, kept), "keeping", {}, {})(PROBE).moved == ()
    assert from_function(Keeping(object(), object()), "keeping", {}, {})(PROBE).moved == ()


def test_a_whole_number_of_the_loss_stays_whole() -> None:
    """A default, a further argument's and an attribute's: it may be a size or a count."""

    class Counting:
        count = 3

        def loss(self, x: Any, x_hat: Any, z_mean: Any, z_log_var: Any, times: int = 2) -> Any:
            kl = sum(K(z_mean, z_log_var).sum(1).mean() for _ in range(times * self.count))
            return mse(x, x_hat) + kl

    asked = from_function(Counting().loss, "counting", {}, {})
    asked(PROBE)
    defaults = asked.found().defaults  # type: ignore[attr-defined]
    assert defaults == {"times": 2, "Counting.count": 3}
    assert {type(value) for value in defaults.values()} == {int}


class Changing:
    """A loss that changes what it keeps in place, and is worth what it keeps."""

    def __init__(self, kept: Any, change: Callable[[Any], object]) -> None:
        self.kept, self._change = kept, change

    def __call__(self, x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
        """Return R + K."""
        self._change(self.kept)
        return mse(x, x_hat) + K(z_mean, z_log_var).sum(1).mean()


def state(kept: Any) -> Any:
    """Return the state of a generator, or the thing itself."""
    if isinstance(kept, random.Random):
        return kept.getstate()
    if isinstance(kept, np.random.Generator):
        return repr(kept.bit_generator.state)
    return kept.tolist() if isinstance(kept, np.ndarray) else kept


@pytest.mark.parametrize(
    ("kept", "change"),
    [
        ([1, 2], lambda kept: kept.append(3)),
        ([1, 2], lambda kept: kept.__setitem__(0, 5)),
        ({"a": 1}, lambda kept: kept.update(a=2)),
        ({"a": 1}, lambda kept: kept.update(b=1)),
        ({1, 2}, lambda kept: kept.add(3)),
        ({1, 2}, lambda kept: kept.symmetric_difference_update({2, 3})),
        (np.zeros(4), lambda kept: kept.__iadd__(1)),
        (random.Random(3), lambda kept: kept.random()),  # noqa: S311
        (np.random.default_rng(3), lambda kept: kept.random()),
    ],
)
def test_what_is_changed_in_place_is_put_back(kept: Any, change: Callable[[Any], object]) -> None:
    """The same thing, with what it held; a generator draws the same numbers again."""
    loss, before = Changing(kept, change), copy.deepcopy(state(kept))
    asked = from_function(loss, "changing", {}, {})
    for _ in range(2):
        assert asked(PROBE).failure is None
        assert loss.kept is kept
        assert state(kept) == before


def test_a_cell_and_an_attribute_of_the_class_are_put_back() -> None:
    """And an attribute that was not there is gone again; each is told."""
    count = 3

    class Growing:
        n = 5

        def loss(self, x: Any, x_hat: Any, z_mean: Any, z_log_var: Any) -> Any:
            nonlocal count
            count += 1
            Growing.n += 2
            self.found = 7
            return mse(x, x_hat) + K(z_mean, z_log_var).sum(1).mean() + count + self.n

    grown = Growing()
    asked = from_function(grown.loss, "growing", {}, {})
    first = asked(PROBE)
    assert first.outputs == asked(PROBE).outputs
    assert {(moved.name, moved.before, moved.after) for moved in first.moved} >= {
        ("count", "3", "4"),
        ("Growing.n", "5", "7"),
        ("self.found", "nothing", "7"),
    }
    assert (count, Growing.n, vars(grown)) == (3, 5, {})
