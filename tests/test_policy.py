"""What next, when to try again, whom to blame, when to stop: decided without workers or time."""

import ast
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lossbench import experiment
from lossbench.columns import Status
from lossbench.engine import policy as room
from lossbench.engine.policy import Hope, Policy
from lossbench.experiment import Stack
from lossbench.run import Record

AXES = {"loss": "docs", "reconstruction_loss": "bce", "beta": "1", "d": "16", "k": "2"}
LIMIT = 8 * 2 + 60  # of a stack of eight runs with two seconds each, and a minute more


def stack_of(n_seeds: int) -> Stack:
    """Return a stack of eight members, so many of them runs, each with two seconds."""
    runs = experiment.read(None, AXES | {"seeds": str(n_seeds), "time_limit": "2"}).runs()
    return Stack(runs=runs, width=8)


def seeds_of(stack: Stack) -> list[int]:
    """Return the seeds of a stack's runs."""
    return [run.seed for run in stack.runs]


def ended(stack: Stack, status: Status = "ok") -> list[Record]:
    """Return what a living worker returns of a stack."""
    if status == "ok":
        return [Record.trained(run, {}, {}, {}) for run in stack.runs]
    return [Record.failed(run, status, f"seed {run.seed}") for run in stack.runs]


def begun(policy: Policy, worker: str, now: float = 0.0) -> room.Assignment:
    """Give a worker its next stack."""
    stack = policy.take(worker)
    assert stack is not None
    return policy.begin(stack, worker, f"tcp://{worker}", now)


def trained(
    n_seeds: int, deaths: Mapping[int, int]
) -> tuple[dict[object, Record], list[list[int]]]:
    """Return the record of every seed, and the seeds of every stack that was tried.

    The one worker dies as often as ``deaths`` says of the seeds that it is given.
    """
    policy, left = Policy(now=0.0), Counter(deaths)
    policy.fill([stack_of(n_seeds)])
    kept: list[Record] = []
    tried: list[list[int]] = []
    while policy:
        assignment = begun(policy, "0")
        tried.append(seeds_of(assignment.stack))
        deadly = [seed for seed in tried[-1] if left[seed] > 0]
        left.subtract(deadly)
        kept += (
            policy.died(assignment, "it died")
            if deadly
            else policy.finished(assignment, ended(assignment.stack))
        )
    assert len(kept) == n_seeds
    return {record.settings["seed"]: record for record in kept}, tried


def test_a_run_is_blamed_for_the_third_worker_that_it_had_alone() -> None:
    """The death of the whole stack's worker counts for nobody; the others are well."""
    records, tried = trained(3, {1: 99})
    assert {seed: one.status for seed, one in records.items()} == {0: "ok", 1: "crashed", 2: "ok"}
    assert records[1].message == "it died"
    assert tried[0] == [0, 1, 2]
    assert tried.count([1]) == 3
    assert tried.count([0]) == tried.count([2]) == 1


@pytest.mark.parametrize("n_deaths", [1, 2, 3])
def test_workers_that_were_killed_fail_no_run(n_deaths: int) -> None:
    """Two deaths alone, after one in company, are forgiven: the third try is well."""
    records, tried = trained(2, {0: n_deaths})
    assert {one.status for one in records.values()} == {"ok"}
    assert tried.count([0]) == n_deaths


def test_a_single_run_has_three_workers_too() -> None:
    """Alone from the beginning, it is blamed for the third death and not before."""
    records, tried = trained(1, {0: 2})
    assert (records[0].status, len(tried)) == ("ok", 3)
    records, tried = trained(1, {0: 3})
    assert (records[0].status, len(tried)) == ("crashed", 3)


def test_a_worker_has_one_stack_at_a_time() -> None:
    """A busy one gets nothing, an idle one the next stack; what could not be sent waits again."""
    policy = Policy(now=0.0)
    one, other = stack_of(1), replace(stack_of(2), width=4)
    policy.fill([one, other])
    assert begun(policy, "a").stack is one
    assert policy.take("a") is None
    assert policy.take("b") is other
    policy.put_back(other)
    assert policy.take("b") is other
    assert policy.take("c") is None


def test_a_worker_may_have_another_stack_while_the_first_is_looked_at() -> None:
    """What becomes of the first then takes nothing away from the second."""
    policy = Policy(now=0.0)
    policy.fill([stack_of(1), stack_of(1)])
    first = begun(policy, "0")
    policy.free(first)
    second = begun(policy, "0")
    assert policy.finished(first, ended(first.stack)) != []
    assert policy
    assert policy.take("0") is None
    assert policy.finished(second, ended(second.stack)) != []
    assert not policy


@pytest.mark.parametrize("status", ["crashed", "timeout", "ok"])
def test_a_stack_that_raised_goes_again_run_by_run(status: Status) -> None:
    """One that came back without a crash is kept, out of time or not; so is a run alone."""
    policy = Policy(now=0.0)
    policy.fill([stack_of(2)])
    assignment = begun(policy, "0")
    records = ended(assignment.stack, status)
    if status != "crashed":
        assert policy.finished(assignment, records) == records
        assert not policy
        return
    assert policy.finished(assignment, records) == []
    for _ in range(2):
        alone = begun(policy, "0")
        assert len(alone.stack.runs) == 1
        assert alone.stack.width == 8
        records = ended(alone.stack, status)
        assert policy.finished(alone, records) == records
    assert not policy


def test_a_run_that_hangs_alone_is_a_timeout() -> None:
    """A stack goes again run by run; the worker is gone, and another process has its name."""
    policy = Policy(now=0.0)
    policy.fill([stack_of(2)])
    assert policy.timed_out(begun(policy, "0"), "it hung") == []
    assert policy.is_gone("tcp://0")
    assert not policy.is_gone("tcp://1")
    for _ in range(2):
        alone = begun(policy, "0")
        (record,) = policy.timed_out(alone, "it hung")
        assert (record.status, record.message) == ("timeout", "it hung")
        assert record.run_id == alone.stack.runs[0].run_id
    assert not policy


def test_what_went_with_its_scheduler_goes_again_whole() -> None:
    """Nobody is blamed, however often."""
    policy = Policy(now=0.0)
    policy.fill([stack_of(1)])
    for _ in range(5):
        assert policy.withdrawn(begun(policy, "0")) == []
    assert policy.finished(begun(policy, "0"), []) == []


@pytest.mark.parametrize("n_runs", [1, 8])
def test_a_worker_that_hangs_is_waited_for_as_long_as_its_stack_may_take(n_runs: int) -> None:
    """The time of a stack is counted as its worker does, and a minute more."""
    policy = Policy(now=0.0)
    policy.fill([stack_of(n_runs)])
    assignment = begun(policy, "0", now=100.0)
    for seconds, is_overdue in ((LIMIT - 1, False), (LIMIT + 1, True)):
        assert assignment.is_overdue(100 + seconds) is is_overdue
        assert policy.is_lost(assignment, 100 + seconds) is is_overdue


def test_a_worker_that_the_scheduler_forgot_is_lost_after_five_seconds() -> None:
    """As long as it knows others: one that knows nobody at all may have lost its way."""
    policy = Policy(now=0.0)
    policy.fill([stack_of(1)])
    assignment = begun(policy, "0")
    assert not policy.is_lost(assignment, 1.0)
    policy.see(["tcp://0", "tcp://1"], 1.0)
    policy.see([], 20.0)
    assert not policy.is_lost(assignment, 20.0)
    policy.see(["tcp://1"], 5.0)
    assert not policy.is_lost(assignment, 5.0)
    policy.see(["tcp://1"], 6.5)
    assert policy.is_lost(assignment, 6.5)
    policy.see(["tcp://0"], 7.0)
    assert not policy.is_lost(assignment, 7.0)


def test_a_sweep_waits_two_minutes_for_a_worker() -> None:
    """From the beginning, or since there was one."""
    policy = Policy(now=50.0)
    assert not policy.is_deserted([], 169.0)
    assert policy.is_deserted([], 171.0)
    assert not policy.is_deserted(["0"], 200.0)
    assert not policy.is_deserted([], 319.0)
    assert policy.is_deserted([], 321.0)


def test_a_second_sweep_knows_what_was_compiled() -> None:
    """Its stacks take the place of those before, and go to who has compiled them."""
    policy = Policy(now=0.0)
    one, other = stack_of(1), Stack((replace(stack_of(1).runs[0], k=3),), width=8)
    for stack, worker in ((one, "a"), (other, "b")):
        policy.fill([stack])
        policy.finished(begun(policy, worker), ended(stack))
    policy.fill([one, other])
    assert policy.take("b") is other
    assert policy.take("a") is one


def hopeful(statuses: list[list[Status]]) -> list[bool]:
    """Return whether there is hope after each run of stacks that end so, one after the other."""
    runs = experiment.read(None, AXES | {"seeds": str(sum(map(len, statuses)))}).runs()
    left = iter(runs)
    stacks = [Stack(tuple(next(left) for _ in of_stack), 8) for of_stack in statuses]
    hope, found = Hope(stacks), []
    for stack, of_stack in zip(stacks, statuses, strict=True):
        for run, status in zip(stack.runs, of_stack, strict=True):
            hope.note(replace(ended(Stack((run,), 1))[0], status=status))
            found.append(bool(hope))
    return found


def test_five_stacks_in_a_row_without_one_success_are_hopeless() -> None:
    """Not four; and what was a success in between begins the row anew."""
    failed: list[Status] = ["crashed", "nan"]
    assert hopeful([failed] * 5) == [True] * 9 + [False]
    assert all(hopeful([*[failed] * 4, ["ok"], *[failed] * 4]))
    assert not hopeful([["ok"], *[failed] * 5])[-1]


def test_a_stack_with_one_success_is_no_failure() -> None:
    """Wherever in it the success is, its other runs count for nothing."""
    half: list[list[Status]] = [["ok", "timeout"], ["timeout", "ok"]]
    assert all(hopeful(half * 5))
    assert all(hopeful([["nan"]] * 4 + half + [["nan"]] * 4))


def test_the_policy_knows_no_dask_and_no_clock() -> None:
    """It imports neither, nor anything that runs or waits."""
    tree = ast.parse(Path(room.__file__).read_text("utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in nodes
        for alias in node.names
    }
    assert names == {
        *("heapq", "itertools", "collections", "collections.abc", "dataclasses"),
        *("lossbench.experiment", "lossbench.run", "lossbench.columns", "lossbench.settings"),
    }
