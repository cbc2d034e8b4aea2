"""A user's own loss in; what it trains, found by probing, out."""

from lossbench.audit.examination import examine
from lossbench.audit.finding import Finding
from lossbench.audit.inspection import audit
from lossbench.audit.matching import Match
from lossbench.audit.prediction import predicted
from lossbench.audit.request import Request, read_request
from lossbench.audit.result import Audit, Coefficient, Collapse

__all__ = [
    "Audit",
    "Coefficient",
    "Collapse",
    "Finding",
    "Match",
    "Request",
    "audit",
    "examine",
    "predicted",
    "read_request",
]
