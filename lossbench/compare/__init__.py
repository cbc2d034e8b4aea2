"""Tables in, a paired comparison and its algebra out; nothing is printed."""

from lossbench.compare.comparison import compare
from lossbench.compare.curves import elbo_curves, over_seeds
from lossbench.compare.gate import Gate, parse_gate
from lossbench.compare.interval import MetricDifference
from lossbench.compare.records import Cell, Comparison
from lossbench.compare.selection import select

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
