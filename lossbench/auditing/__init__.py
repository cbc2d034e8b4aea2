"""A user's own loss in; what it trains, found by probing, out."""

from lossbench.auditing.examination import examine
from lossbench.auditing.folder import Listed, Unread, listing
from lossbench.auditing.gates import Baseline, Held, check, hold, read_baseline
from lossbench.auditing.inspection import audit, audit_here, audit_to_train
from lossbench.auditing.itself import TrainedLoss, trained_loss
from lossbench.auditing.matching import Match
from lossbench.auditing.meaning import TRAINED, kind_of, predicted
from lossbench.auditing.options import Options, Target, read_options, read_target
from lossbench.auditing.proof import exactly, unproved
from lossbench.auditing.result import Audit, Coefficient, Collapse, Finding

__all__ = [
    "TRAINED",
    "Audit",
    "Baseline",
    "Coefficient",
    "Collapse",
    "Finding",
    "Held",
    "Listed",
    "Match",
    "Options",
    "Target",
    "TrainedLoss",
    "Unread",
    "audit",
    "audit_here",
    "audit_to_train",
    "check",
    "exactly",
    "examine",
    "hold",
    "kind_of",
    "listing",
    "predicted",
    "read_baseline",
    "read_options",
    "read_target",
    "trained_loss",
    "unproved",
]
