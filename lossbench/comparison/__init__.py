"""Tables in, a paired comparison and its algebra out; nothing is printed."""

from lossbench.comparison.comparison import Cell, Comparison, compare, elbo_curves, over_seeds
from lossbench.comparison.difference import EQUAL_WITHIN_NATS, MetricDifference, outcome
from lossbench.comparison.gate import Gate, parse_gate
from lossbench.comparison.selection import select

__all__ = [
    "EQUAL_WITHIN_NATS",
    "Cell",
    "Comparison",
    "Gate",
    "MetricDifference",
    "compare",
    "elbo_curves",
    "outcome",
    "over_seeds",
    "parse_gate",
    "select",
]
