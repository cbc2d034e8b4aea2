"""The exception tree: what went wrong, where, what was expected and what to do.

::

    LossbenchError            exit 1
    |-- UsageError            exit 2   a wrong option, name or selection
    |   |-- ExperimentError   exit 2   a wrong key or value in an experiment
    |   |-- DataError         exit 2   data that is missing, damaged or unfit
    |   |-- AuditError        exit 2   a loss function that cannot be audited as it is
    |   `-- ResultsError      exit 2   a results folder that cannot be used as asked
    |-- RunsFailedError       exit 3   some runs failed; the rest is kept
    `-- GateTrippedError      exit 4   a --fail-if condition holds, or an expectation fails

An error is raised where the fact is known and caught once, in ``cli``.
"""

import re
from collections.abc import Callable, Iterable

from lossbench.words import joined

_LETTERS_A_SLIP = 4  # of the longer name and one more: more slips are another word
_MOST_SHOWN = 3
_SHORTEST_PART = 3  # of a name: shorter ones stand in too many


class LossbenchError(Exception):
    """A problem that is told to the user in full, without a traceback.

    ``problem`` is one sentence; ``where`` names the file, line, key or option;
    ``expected`` and ``received`` state the rule and the value that breaks it;
    ``remedy`` says what to do next.
    """

    exit_code = 1

    def __init__(
        self,
        problem: str,
        *,
        where: str = "",
        expected: str = "",
        received: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.where = where
        self.expected = expected
        self.received = received
        self.remedy = remedy

    def __str__(self) -> str:
        """Return the whole message, one fact a line."""
        lines = [f"{self.where}: {self.problem}" if self.where else self.problem]
        lines += [
            f"  {label}: {text}"
            for label, text in (
                ("expected", self.expected),
                ("received", self.received),
                ("try", self.remedy),
            )
            if text
        ]
        return "\n".join(lines)


class UsageError(LossbenchError):
    """The command was asked for something that it cannot do."""

    exit_code = 2


class ExperimentError(UsageError):
    """A key or a value of an experiment is wrong."""


class DataError(UsageError):
    """Data is missing, damaged or unfit."""


class AuditError(UsageError):
    """A loss function cannot be audited as it is."""


class ResultsError(UsageError):
    """A results folder cannot be read or used as asked."""


class RunsFailedError(LossbenchError):
    """Some runs failed; every other one is kept."""

    exit_code = 3


class GateTrippedError(LossbenchError):
    """A condition given with ``--fail-if`` holds, or ``--expect-beta-eff`` is not met."""

    exit_code = 4


def did_you_mean(name: str, known: Iterable[str], written: Callable[[str], str] = str) -> str:
    """Return ``did you mean 'x' or 'y'?``, at most three names near ``name``, or an empty string.

    ``written`` says how a known name is written where that is not the name alone.

    >>> did_you_mean("bloog", ["blog", "docs"])
    "did you mean 'blog'?"
    >>> did_you_mean("pytorch-example", ["blog", "pytorch-examples", "pytorch-examples-2017"])
    "did you mean 'pytorch-examples' or 'pytorch-examples-2017'?"
    """
    meant = [repr(written(other)) for other in near(name, known)[:_MOST_SHOWN]]
    return f"did you mean {joined(meant, 'or')}?" if meant else ""


def near(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that ``name`` may be a slip for, the nearest first.

    A name is near if it is one slip away (a letter that is wrong, missing, too many or swapped
    with its neighbour), two from seven letters on and three from eleven; or if it is the beginning
    of words of a known name, or begins with one. Capitals, - and _ make no difference.

    >>> near("datsaet", ["dataset", "d", "data_dir"]), near("t.csv", ["patches", "mse"])
    (['dataset'], [])
    """
    slips = {other: _slips(_plain(name), _plain(other)) for other in known}
    within = {other: count for other, count in slips.items() if count is not None}
    return sorted(within, key=lambda other: within[other])


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]+", "_", name.lower())


def _slips(name: str, other: str) -> int | None:
    """Return how many slips lie between two names; None if they are not near."""
    most = (max(len(name), len(other)) + 1) // _LETTERS_A_SLIP
    if abs(len(name) - len(other)) <= most:
        slips = _distance(name, other)
        if slips <= most:
            return slips
    is_part = len(name) >= _SHORTEST_PART and f"_{name}" in f"_{other}"
    has_part = len(other) >= _SHORTEST_PART and f"{name}_".startswith(f"{other}_")
    return max(len(name), len(other)) if is_part or has_part else None


def _distance(name: str, other: str) -> int:
    """Return how many letters to change, add, leave out or swap turn one name into the other."""
    before, row = [0] * (len(other) + 1), list(range(len(other) + 1))
    for i, letter in enumerate(name):
        before, last, row = row, before, [i + 1]
        for j, wanted in enumerate(other):
            best = min(before[j] + (letter != wanted), before[j + 1] + 1, row[j] + 1)
            if i and j and letter == other[j - 1] and wanted == name[i - 1]:
                best = min(best, last[j - 1] + 1)
            row.append(best)
    return row[-1]
