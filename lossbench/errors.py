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

import difflib
from collections.abc import Iterable


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


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the known name nearest to ``name``, or an empty string.

    >>> nearest("bloog", ["blog", "docs"])
    "did you mean 'blog'?"
    """
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {matches[0]!r}?" if matches else ""
