"""When a run that is trained again agrees with the committed one: the one rule for all of it.

Another processor changes the last digits of every number. A run agrees if it ended the same, its
ELBO is within 0.3 nats, its KL within 0.1, and both say the same of collapse.
"""

from collections.abc import Mapping
from typing import Any

_ELBO_NATS = 0.3
_KL_NATS = 0.1


def agrees(committed: Mapping[Any, Any], again: Mapping[Any, Any]) -> bool:
    """Tell whether two rows of ``runs.csv`` are one run; a failed run has no numbers."""
    if committed["status"] != again["status"]:
        return False
    return again["status"] != "ok" or bool(
        abs(again["elbo"] - committed["elbo"]) <= _ELBO_NATS
        and abs(again["kl"] - committed["kl"]) <= _KL_NATS
        and again["collapsed"] == committed["collapsed"]
    )
