"""The records of a comparison, and their plain form for JSON."""

import math
from dataclasses import asdict, dataclass

from lossbench.comparison.algebra import Objective, ObjectivePair
from lossbench.comparison.interval import MetricDifference
from lossbench.comparison.verdict import outcome
from lossbench.comparison.wording import Value
from lossbench.loss import ELBOS

Plain = str | int | float | bool | list["Plain"] | dict[str, "Plain"] | None


@dataclass(frozen=True)
class RunPair:
    """One run of A, by its id, beside one of B."""

    seed: Value
    run_a: str
    run_b: str


@dataclass(frozen=True)
class Cell:
    """Pairs that differ in nothing but the seed.

    ``settings`` are those that vary between the cells, ``metrics`` every metric of the table.
    """

    settings: dict[str, Value]
    reconstruction_loss: str
    objectives: ObjectivePair
    pairs: tuple[RunPair, ...]
    metrics: dict[str, MetricDifference]


@dataclass(frozen=True)
class Comparison:
    """Everything that is known of B against A; every difference is B minus A.

    ``common`` and ``differing`` are settings (``differing`` holds the value of A and of B, the
    seed too if each side has but one); ``paired_by`` the columns that each pair agrees in;
    ``unpaired_*`` and ``failed_*`` the ids of the runs that were left out.
    """

    algebra: str
    common: dict[str, Value]
    differing: dict[str, tuple[Value, Value]]
    paired_by: tuple[str, ...]
    cells: tuple[Cell, ...]
    unpaired_a: tuple[str, ...]
    unpaired_b: tuple[str, ...]
    failed_a: tuple[str, ...]
    failed_b: tuple[str, ...]
    verdict: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Plain]:
        """Return plain types in full precision; what is not known is ``None``."""
        return {
            "algebra": self.algebra,
            "common": dict(self.common),
            "differing": {name: {"a": a, "b": b} for name, (a, b) in self.differing.items()},
            "paired_by": list(self.paired_by),
            "cells": [_cell(cell) for cell in self.cells],
            "unpaired": {"a": list(self.unpaired_a), "b": list(self.unpaired_b)},
            "failed": {"a": list(self.failed_a), "b": list(self.failed_b)},
            "verdict": list(self.verdict),
            "notes": list(self.notes),
        }


def _cell(cell: Cell) -> dict[str, Plain]:
    return {
        "settings": dict(cell.settings),
        "reconstruction_loss": cell.reconstruction_loss,
        "relation": cell.objectives.relation,
        "a": _objective(cell.objectives.a),
        "b": _objective(cell.objectives.b),
        "pairs": [asdict(pair) for pair in cell.pairs],
        "metrics": {name: _metric(metric) for name, metric in cell.metrics.items()},
    }


def _objective(side: Objective) -> dict[str, Plain]:
    return {name: _known(value) for name, value in asdict(side).items()}


def _metric(metric: MetricDifference) -> dict[str, Plain]:
    facts = {name: _known(value) for name, value in asdict(metric).items() if name != "metric"}
    return facts | ({"outcome": outcome(metric)} if metric.metric in ELBOS else {})


def _known(value: Plain) -> Plain:
    return None if isinstance(value, float) and not math.isfinite(value) else value
