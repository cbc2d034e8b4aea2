"""Tables in, a paired comparison and its algebra out; nothing is printed."""

from lossbench.comparison.comparison import compare
from lossbench.comparison.curves import elbo_curves, over_seeds
from lossbench.comparison.gate import Gate, parse_gate
from lossbench.comparison.interval import MetricDifference
from lossbench.comparison.records import Cell, Comparison
from lossbench.comparison.selection import select

__all__ = [
    "Cell",
    "Comparison",
    "Gate",
    "MetricDifference",
    "compare",
    "elbo_curves",
    "over_seeds",
    "parse_gate",
    "select",
]
