"""``--fail-if``: a condition on one metric's difference that makes ``compare`` exit with 4."""

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from lossbench.columns import METRIC_COLUMNS
from lossbench.comparison.comparison import Cell, Comparison
from lossbench.comparison.difference import MetricDifference
from lossbench.comparison.selection import number_in
from lossbench.errors import ResultsError, UsageError, did_you_mean
from lossbench.words import setting, significant

_EXPRESSION = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*(\S+)\s*")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Gate:
    """A condition on the difference B minus A of one metric.

    It trips if the whole 95% interval fulfils it, so that noise alone seldom trips it: for ``<``
    the upper end decides, for ``>`` the lower one. Where there is no interval (one pair,
    ``collapsed``), the difference itself decides. One cell of several is enough.
    """

    metric: str
    comparison: str
    bound: float

    def tripped(self, comparison: Comparison) -> str | None:
        """Return why the gate trips, one line a cell that trips it, or ``None``.

        ``UsageError`` if the metric is not comparable between A and B, ``ResultsError`` if it
        is not known.
        """
        reasons = [
            reason for cell in comparison.cells if (reason := self._reason(cell)) is not None
        ]
        return "\n".join(reasons) or None

    def _reason(self, cell: Cell) -> str | None:
        metric = cell.metrics[self.metric]
        difference = self._known(metric)
        near_end = metric.high if self.comparison in ("<", "<=") else metric.low
        end = difference if near_end is None else near_end
        if not _OPERATORS[self.comparison](end, self.bound):
            return None
        where = ", ".join(f"{name} {setting(value)}" for name, value in cell.settings.items())
        interval = (
            "no interval"
            if metric.low is None or metric.high is None
            else f"95% interval {significant(metric.low)} to {significant(metric.high)}"
        )
        return (
            f"{self.metric} {self.comparison} {setting(self.bound)} holds"
            f"{where and f' at {where}'}: B minus A is {significant(difference)} ({interval})"
        )

    def _known(self, metric: MetricDifference) -> float:
        if not metric.comparable:
            raise UsageError(
                f"`{self.metric}` is not comparable between A and B, so no gate can rest on it",
                where="--fail-if",
                remedy="a metric that is, such as kl or active_units",
            )
        if metric.difference is None:
            raise ResultsError(
                f"`{self.metric}` is not known, so the gate cannot be judged",
                where="--fail-if",
            )
        return metric.difference


def parse_gate(expression: str) -> Gate:
    """Return the gate that an expression such as ``elbo < -0.5`` spells.

    >>> parse_gate("elbo < -0.5")
    Gate(metric='elbo', comparison='<', bound=-0.5)
    """
    match = _EXPRESSION.fullmatch(expression)
    bound = number_in(match[3]) if match else math.nan
    if match is None or not math.isfinite(bound):
        raise UsageError(
            "the gate is not a condition on a metric",
            where="--fail-if",
            expected="a metric, one of < <= > >= and a number, as in 'elbo < -0.5'",
            received=repr(expression),
        )
    if match[1] not in METRIC_COLUMNS:
        raise UsageError(
            f"no metric is called {match[1]!r}",
            where="--fail-if",
            expected=f"one of {', '.join(METRIC_COLUMNS)}",
            received=repr(expression),
            remedy=did_you_mean(match[1], METRIC_COLUMNS),
        )
    return Gate(match[1], match[2], bound)
