"""A user's own loss in; what it trains, found by probing, out."""

from lossbench.audit.examination import examine
from lossbench.audit.folder import Listed, Unread, listing
from lossbench.audit.gates import Baseline, Held, check, hold, read_baseline
from lossbench.audit.inspection import audit
from lossbench.audit.matching import Match
from lossbench.audit.meaning import predicted
from lossbench.audit.options import Options, Target, read_options, read_target
from lossbench.audit.result import Audit, Coefficient, Collapse, Finding

__all__ = [
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
    "Unread",
    "audit",
    "check",
    "examine",
    "hold",
    "listing",
    "predicted",
    "read_baseline",
    "read_options",
    "read_target",
]
