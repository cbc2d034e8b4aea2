"""The algebra told step by step, before anything is trained: records and sentences, no printing."""

from lossbench.explain.derivation import Derivation, derivation
from lossbench.explain.equivalent import Equivalent, equivalent
from lossbench.explain.listing import DEFAULT_SIZES, Listed, completed, lineage, listing
from lossbench.explain.optimum import Optimum, optimum
from lossbench.explain.step import Step

__all__ = [
    "DEFAULT_SIZES",
    "Derivation",
    "Equivalent",
    "Listed",
    "Optimum",
    "Step",
    "completed",
    "derivation",
    "equivalent",
    "lineage",
    "listing",
    "optimum",
]
