"""Two selections of runs, paired: the algebra, the settings, the metrics and the verdict."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from lossbench.columns import (
    HELD,
    METRICS,
    Column,
    at_the_end,
    belongs,
    end_note,
    goes_without_saying,
)
from lossbench.comparison.algebra import (
    OBJECTIVE_SETTINGS,
    ObjectivePair,
    algebra,
    side_of,
)
from lossbench.comparison.difference import (
    MetricDifference,
    paired,
    power_note,
    verdict,
)
from lossbench.comparison.pairing import Pairing, Row, Value, paired_runs, rows_of
from lossbench.errors import UsageError
from lossbench.loss import likelihood
from lossbench.store import Store, half_width
from lossbench.words import Told, counted


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

    def facts(self) -> dict[str, object]:
        """Return the cell as JSON has it."""
        return {
            "settings": self.settings,
            "reconstruction_loss": self.reconstruction_loss,
            "relation": self.objectives.relation,
            "a": self.objectives.a,
            "b": self.objectives.b,
            "pairs": self.pairs,
            "metrics": self.metrics,
        }


@dataclass(frozen=True)
class Comparison(Told):
    """Everything that is known of B against A; every difference is B minus A.

    ``common`` (without later ones at their default) and ``differing`` are settings (``differing``
    holds the value of A and of B, the seed too if each side has but one); ``paired_by`` the columns
    that each pair agrees in; ``unpaired_*`` and ``failed_*`` the ids of the runs that were left
    out. ``curves`` is the ELBO of either side over training, as ``elbo_curves`` gives it, where
    that was asked for.
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
    curves: Mapping[str, pd.DataFrame] = field(default_factory=dict, compare=False, repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return a row a cell and metric: A, B, and B minus A over the cell's pairs."""
        return pd.DataFrame(
            {**cell.settings, "metric": name, **vars(metric)}
            for cell in self.cells
            for name, metric in cell.metrics.items()
        )

    def facts(self) -> dict[str, object]:
        """Return the comparison as JSON has it, in full precision."""
        return {
            "algebra": self.algebra,
            "common": self.common,
            "differing": {name: {"a": a, "b": b} for name, (a, b) in self.differing.items()},
            "paired_by": self.paired_by,
            "cells": self.cells,
            "unpaired": {"a": self.unpaired_a, "b": self.unpaired_b},
            "failed": {"a": self.failed_a, "b": self.failed_b},
            "verdict": self.verdict,
            "notes": self.notes,
        }


def compare(a: pd.DataFrame, b: pd.DataFrame) -> Comparison:
    """Return the comparison of two selections of ``runs.csv``, as ``select`` returns them.

    ``UsageError`` if they are the same runs or no pair can be made (it names the column to
    fix), ``ResultsError`` if every run of a side failed.
    """
    pairing = paired_runs(rows_of(at_the_end(a)), rows_of(at_the_end(b)))
    if all(row_a == row_b for row_a, row_b in pairing.pairs):
        raise UsageError(
            "A and B are the same runs",
            received=", ".join(str(row["run_id"]) for row, _ in pairing.pairs[:4]),
            remedy="let the selections differ in a column, as in loss=blog and loss=docs",
        )
    cells = _cells(pairing)
    return Comparison(
        algebra([cell.objectives for cell in cells]),
        {name: x for name, x in pairing.common.items() if not goes_without_saying(name, x)},
        pairing.compared,
        pairing.keys,
        cells,
        _ids(pairing.unpaired_a),
        _ids(pairing.unpaired_b),
        _ids(pairing.failed_a),
        _ids(pairing.failed_b),
        verdict([(cell.reconstruction_loss, cell.metrics) for cell in cells], pairing.compared),
        tuple(_notes(cells, pairing, pd.concat([a, b]))),
    )


def _ids(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(str(row["run_id"]) for row in rows)


def _cells(pairing: Pairing) -> tuple[Cell, ...]:
    """Return the pairs in groups that differ in nothing but the seed, in the table's order."""
    names = [name for name in pairing.keys if name != "seed"]
    groups: dict[tuple[Value, ...], list[tuple[Row, Row]]] = defaultdict(list)
    for row_a, row_b in pairing.pairs:
        groups[tuple(row_a[name] for name in names)].append((row_a, row_b))
    varying = [name for place, name in enumerate(names) if len({key[place] for key in groups}) > 1]
    compared, cells = tuple(pairing.compared), list(groups.values())
    objectives = [_objectives(pairs, compared) for pairs in cells]
    metrics = {
        metric.name: paired(
            metric,
            [[row[metric.name] for row, _ in pairs] for pairs in cells],
            [[row[metric.name] for _, row in pairs] for pairs in cells],
            [_comparable(metric, both, compared) for both in objectives],
        )
        for metric in METRICS
    }
    return tuple(
        Cell(
            {name: pairs[0][0][name] for name in varying},
            str(pairs[0][0]["reconstruction_loss"]),
            objectives[place],
            tuple(RunPair(a["seed"], str(a["run_id"]), str(b["run_id"])) for a, b in pairs),
            {name: of_cells[place] for name, of_cells in metrics.items()},
        )
        for place, pairs in enumerate(cells)
    )


def _objectives(pairs: Sequence[tuple[Row, Row]], compared: Sequence[str]) -> ObjectivePair:
    """Return the objectives of a cell, which all its pairs share."""
    (a, b), *_ = pairs
    changed = tuple(
        name
        for name in OBJECTIVE_SETTINGS
        if name in compared and belongs(name, a) and belongs(name, b)
    )
    schedules = str(a["kl_schedule"]), str(b["kl_schedule"])
    return ObjectivePair(side_of(a), side_of(b), changed, schedules)


def _comparable(metric: Column, objectives: ObjectivePair, compared: Sequence[str]) -> bool:
    if metric.one_objective:
        ends_alike = objectives.relation == "rescheduled"
        return objectives.relation == "identical" or (ends_alike and objectives.same_scale)
    return not set(metric.alike) & set(compared)


def _notes(cells: Sequence[Cell], pairing: Pairing, runs: pd.DataFrame) -> list[str]:
    trained = (likelihood(kind) for kind in sorted({cell.reconstruction_loss for cell in cells}))
    note = power_note([cell.metrics["elbo"] for cell in cells])
    notes = [*([note] if note else []), *(each.caution for each in trained if each.caution)]
    if "seed" in pairing.compared:
        notes.append("The seeds differ, so the difference holds the difference of seeds as well.")
    if note := end_note(runs[HELD], runs["beta_eff"]):
        notes.append(note.strip())
    if "kl_estimator" in pairing.compared:
        notes.append("The KL is sampled in one of the two: the same objective, with more noise.")
    if "beta_eff" in pairing.keys:
        notes.append("Paired by beta_eff, which more runs share than beta.")
    for side, failed in (("A", pairing.failed_a), ("B", pairing.failed_b)):
        if failed:
            statuses = ", ".join(sorted({str(row["status"]) for row in failed}))
            verb = "is" if len(failed) == 1 else "are"
            notes.append(
                f"{counted(len(failed), 'failed run')} of {side} {verb} left out ({statuses})."
            )
    return notes


def over_seeds(history: pd.DataFrame, run_ids: Collection[str]) -> pd.DataFrame:
    """Return ``mean`` and ``half_width`` of the ELBO of these runs by epoch, in nats.

    The half width is of the 95% t-interval, missing for a single run; ``kl_weight`` is w.
    """
    epochs = history[history["run_id"].isin(run_ids)].groupby("epoch")
    elbo, kl_weight = epochs["elbo"], epochs["kl_weight"].mean().fillna(1.0)
    widths = half_width(elbo.std(), elbo.count())
    return pd.DataFrame({"mean": elbo.mean(), "half_width": widths, "kl_weight": kl_weight})


def elbo_curves(
    comparison: Comparison, a: pd.DataFrame, b: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Return the curve of A and of B over their pairs, as ``over_seeds`` gives it.

    ``a`` and ``b`` are the selections that were compared. Empty for several cells, and where
    the folders have no history.
    """
    if len(comparison.cells) != 1:
        return {}
    pairs = comparison.cells[0].pairs
    curves = {}
    for side, runs, run_ids in (
        ("A", a, [pair.run_a for pair in pairs]),
        ("B", b, [pair.run_b for pair in pairs]),
    ):
        places = sorted(set(runs.loc[runs["run_id"].isin(run_ids), "folder"]))
        history = pd.concat([Store(Path(place)).history() for place in places])
        curves[side] = over_seeds(history, run_ids)
    return curves if all(len(curve) > 1 for curve in curves.values()) else {}
