"""Two selections of runs, paired: the algebra, the settings, the metrics and the verdict."""

from collections import defaultdict
from collections.abc import Sequence

import pandas as pd

from lossbench.columns import METRICS, Column
from lossbench.comparison.algebra import OBJECTIVE_SETTINGS, ObjectivePair, algebra, objective
from lossbench.comparison.interval import paired
from lossbench.comparison.pairing import Pairing, paired_runs, rows_of
from lossbench.comparison.records import Cell, Comparison, RunPair
from lossbench.comparison.verdict import verdict
from lossbench.comparison.wording import Row, Value, counted
from lossbench.errors import UsageError
from lossbench.loss import likelihood


def compare(a: pd.DataFrame, b: pd.DataFrame) -> Comparison:
    """Return the comparison of two selections of ``runs.csv``, as ``select`` returns them.

    ``UsageError`` if they are the same runs or no pair can be made (it names the column to
    fix), ``ResultsError`` if every run of a side failed.
    """
    pairing = paired_runs(rows_of(a), rows_of(b))
    if all(row_a == row_b for row_a, row_b in pairing.pairs):
        raise UsageError(
            "A and B are the same runs",
            received=", ".join(str(row["run_id"]) for row, _ in pairing.pairs[:4]),
            remedy="let the selections differ in a column, as in loss=blog and loss=docs",
        )
    cells = _cells(pairing)
    return Comparison(
        algebra([cell.objectives for cell in cells]),
        pairing.common,
        pairing.compared,
        pairing.keys,
        cells,
        _ids(pairing.unpaired_a),
        _ids(pairing.unpaired_b),
        _ids(pairing.failed_a),
        _ids(pairing.failed_b),
        verdict([(cell.reconstruction_loss, cell.metrics) for cell in cells], pairing.compared),
        tuple(_notes(cells, pairing)),
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
            {name: found[place] for name, found in metrics.items()},
        )
        for place, pairs in enumerate(cells)
    )


def _objectives(pairs: Sequence[tuple[Row, Row]], compared: Sequence[str]) -> ObjectivePair:
    """Return the objectives of a cell, which all its pairs share."""
    changed = tuple(name for name in OBJECTIVE_SETTINGS if name in compared)
    (a, b), *_ = pairs
    return ObjectivePair(objective(a), objective(b), changed)


def _comparable(metric: Column, objectives: ObjectivePair, compared: Sequence[str]) -> bool:
    if metric.one_objective:
        return objectives.relation == "identical"
    return not set(metric.alike) & set(compared)


def _notes(cells: Sequence[Cell], pairing: Pairing) -> list[str]:
    trained = (likelihood(kind) for kind in sorted({cell.reconstruction_loss for cell in cells}))
    notes = [each.caution for each in trained if each.caution]
    if "seed" in pairing.compared:
        notes.append("The seeds differ, so the difference holds the difference of seeds as well.")
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
