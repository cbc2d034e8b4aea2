"""The algebra told step by step, before anything is trained: records and sentences, no printing."""

from lossbench.explanation.derivation import Derivation, derivation
from lossbench.explanation.equivalent import Equivalent, equivalent
from lossbench.explanation.listing import DEFAULT_SIZES, Listed, completed, lineage, listing
from lossbench.explanation.optimum import Optimum, optimum
from lossbench.explanation.step import Step

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
