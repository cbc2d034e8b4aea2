"""What an audit found, as one record."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from lossbench.audit.finding import Finding
from lossbench.audit.matching import Match
from lossbench.conventions import Reduction


@dataclass(frozen=True)
class Coefficient:
    """A number with its standard error (0 for a loss without noise) and its formula, if known."""

    value: float
    error: float
    formula: str | None


@dataclass(frozen=True)
class Collapse:
    """Whether the loss collapses on a data set: its threshold t_1 and what follows.

    ``predicted_active_units`` is known where all thresholds are; ``critical_k`` is the largest
    k up to which the loss collapses at every k, where the formula tells.
    """

    dataset: str
    reconstruction_loss: str
    threshold: float
    collapses: bool
    predicted_active_units: int | None
    critical_k: int | None


@dataclass(frozen=True)
class Audit:
    """The objective that a loss trains, ``a*R + b*K``, and what is wrong with it.

    ``reconstruction`` is ``bce``, ``bce_logits``, ``mse``, ``l1``, ``categorical`` or
    ``bce_swapped``; ``None`` for none of them, then ``nearest`` and ``misfit`` tell. Reductions
    are those in effect: ``original_dim`` times a mean is a sum; ``None`` for neither.
    ``fixed`` names the sizes that could not be varied: formulas are then read at one size.
    """

    name: str
    framework: str
    returns: str
    d: int
    k: int
    batch_size: int
    n_images: int
    settings: Mapping[str, object]
    reconstruction: str | None
    nearest: str
    misfit: float
    kl_form: str
    over_inputs: Reduction | None
    over_latents: Reduction | None
    over_batch: Reduction | None
    kl_over_batch: Reduction | None
    a: Coefficient
    b: Coefficient
    beta_eff: Coefficient
    match: Match | None
    findings: tuple[Finding, ...]
    fixed: tuple[str, ...]
    stochastic: bool
    n_calls: int
    power_of_k: float | None
    meaning: tuple[str, ...] = ()
    change: str = ""
    collapse: Collapse | None = None

    def critical(self, threshold: float) -> int | None:
        """Return the largest k up to which the loss collapses at every k, at that threshold.

        ``None`` where beta_eff does not fall with k, or has no formula.
        """
        if not (self.power_of_k or 0) < 0 or not self.beta_eff.value > 0:
            return None
        ratio = self.beta_eff.value / threshold
        return math.floor(self.k * math.pow(ratio, -1 / (self.power_of_k or -1)) + 1e-9)

    def to_json(self) -> dict[str, object]:
        """Return the audit as plain values; a number that there is none of is null."""
        facts = {**asdict(self), "settings": dict(self.settings)}
        if math.isnan(self.beta_eff.value):
            facts["beta_eff"]["value"] = None
        return facts
