"""The algebra told step by step, before anything is trained: records and sentences, no printing."""

from lossbench.explanation.derivation import Derivation, Step, derivation
from lossbench.explanation.equivalent import DataRange, Equivalent, equivalent
from lossbench.explanation.listing import (
    DEFAULT_SIZES,
    Listed,
    checked,
    completed,
    lineage,
    listing,
    read_weight,
    sizes_of,
)

__all__ = [
    "DEFAULT_SIZES",
    "DataRange",
    "Derivation",
    "Equivalent",
    "Listed",
    "Step",
    "checked",
    "completed",
    "derivation",
    "equivalent",
    "lineage",
    "listing",
    "read_weight",
    "sizes_of",
]
