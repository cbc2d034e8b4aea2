"""What a data set, or a threshold that is known, says of an audited loss."""

from dataclasses import replace
from pathlib import Path

from lossbench import data, theory
from lossbench.audit.meaning import collapse, kind_of
from lossbench.audit.result import Audit
from lossbench.conventions import ReconstructionLoss
from lossbench.errors import AuditError


def predicted(
    audit: Audit, dataset: str | None, threshold: float | None, data_dir: Path | None = None
) -> Audit:
    """Return the audit with what it means on a data set, or at a threshold t_1.

    ``DataError`` if the data cannot be had at d; ``AuditError`` if the loss has no
    reconstruction that thresholds are known for.
    """
    if dataset is None and threshold is None:
        return audit
    critical = audit.critical
    if threshold is not None:
        return replace(audit, collapse=collapse(audit, "your data", threshold, critical(threshold)))
    kind = kind_of(audit)
    if not kind or dataset is None:
        raise AuditError(
            "thresholds are known for bce and mse alone",
            where="--dataset",
            received=audit.reconstruction or "a reconstruction of no known kind",
            remedy="leave --dataset out, or give the threshold that you measured as --threshold",
        )
    known: ReconstructionLoss = "bce" if kind == "bce" else "mse"
    thresholds = theory.thresholds(
        theory.moments(data.load(dataset, audit.d, data_dir).train), known
    )
    t_1 = theory.collapse_threshold(thresholds)
    found = collapse(audit, dataset, t_1, critical(t_1))
    if found is not None:
        units = theory.predicted_active_units(thresholds, audit.beta_eff.value, audit.k)
        found = replace(found, predicted_active_units=units)
    return replace(audit, collapse=found)
