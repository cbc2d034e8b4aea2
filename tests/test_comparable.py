"""Which metrics of two runs may be set against each other: those that measure the same."""

from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from lossbench.comparison import MetricDifference, compare, parse_gate
from lossbench.console.comparison import comparison_table
from lossbench.errors import UsageError
from lossbench.store import Store

RESULTS = Path(__file__).parent.parent / "results"


def measured(samples: int | None, bound: float | None) -> pd.DataFrame:
    """Return three runs of digits with a bound of so many samples, one nat apart by seed."""
    runs = Store(RESULTS / "digits").runs()
    settings = {"loss": "docs", "reconstruction_loss": "bce", "beta": 1, "d": 64, "k": 2}
    for name, value in settings.items():
        runs = runs[runs[name] == value]
    return runs.assign(
        run_id=[f"{run_id}-{samples}" for run_id in runs["run_id"]],
        folder="results/digits",
        iwae_samples=pd.array([samples] * len(runs), dtype="Int64"),
        iwae=[float("nan") if bound is None else bound + seed for seed in runs["seed"]],
    )


def iwae(a: pd.DataFrame, b: pd.DataFrame) -> MetricDifference:
    """Return the one cell's bound, A beside B."""
    (cell,) = compare(a, b).cells
    return cell.metrics["iwae"]


def test_bounds_of_other_numbers_of_samples_are_not_comparable() -> None:
    """More samples lift the bound of the same model, so the difference is not one of models."""
    a, b = measured(1, -25.0), measured(1000, -24.0)
    found = iwae(a, b)
    assert (found.comparable, found.a, found.b) == (False, -24.0, -23.0)
    assert (found.difference, found.low, found.high, found.p) == (None, None, None, None)
    console = Console(width=80, record=True)
    console.print(comparison_table(compare(a, b)))
    (line,) = (x for x in console.export_text().splitlines() if x.startswith("iwae  "))
    assert line.split() == ["iwae", "-24.00", "-23.00", "not", "comparable"]


def test_no_gate_rests_on_bounds_of_other_numbers_of_samples() -> None:
    """A gate on the bound is refused rather than judged."""
    gate = parse_gate("iwae < -0.5")
    with pytest.raises(UsageError, match="`iwae` is not comparable"):
        gate.tripped(compare(measured(1, -25.0), measured(1000, -24.0)))


def test_bounds_of_one_number_of_samples_are_comparable() -> None:
    """What differs elsewhere, such as the epochs, does not make them another measure."""
    a, b = measured(100, -25.0), measured(100, -24.0).assign(epochs=400)
    found = iwae(a, b.assign(run_id=[f"{x}-long" for x in b["run_id"]]))
    assert (found.comparable, found.difference) == (True, 1.0)


def test_the_elbo_does_not_depend_on_the_samples_of_the_bound() -> None:
    """Only the bound is measured with them."""
    (cell,) = compare(measured(1, -25.0), measured(1000, -24.0)).cells
    assert cell.metrics["elbo"].comparable
    assert cell.metrics["elbo"].difference == 0.0
