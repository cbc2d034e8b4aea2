"""What an audit found, as one record."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lossbench.auditing.matching import Match
from lossbench.loss import Reduction
from lossbench.words import Told, significant

_CLAUSE = re.compile(r".{24,}?(?=: |; |, so |\. |\.$)")


@dataclass(frozen=True)
class Finding:
    """One thing to look at: its ``code``, a sentence, whether it is surely a mistake.

    ``changes`` is whether it changes the answer: a gate does not pass with it.
    """

    code: str
    text: str
    certain: bool = True
    changes: bool = True

    @property
    def clause(self) -> str:
        """Its first clause that says something, without a full stop."""
        clause = _CLAUSE.match(self.text)
        return clause[0] if clause else self.text


@dataclass(frozen=True, eq=False)
class Coefficient(float):
    """A number, to reckon with as one, with its standard error and its formula, if known.

    The error is 0 for a loss without noise, the number NaN where it cannot be told. ``either``
    holds the two formulas that one size cannot tell apart.
    """

    value: float
    error: float
    formula: str | None
    either: tuple[str, ...] = ()

    def __new__(cls, value: float, *_: object, **__: object) -> "Coefficient":
        """Return the number; its error and its formula are fields."""
        return super().__new__(cls, value)

    def __str__(self) -> str:
        """Return the number alone, to six digits."""
        return significant(self.value)


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
class Audit(Told):
    """The objective that a loss trains, ``a*R + b*F(K)``, and what is wrong with it.

    ``total`` is what was taken for the total of its outputs, ``filled`` how arguments besides the
    usual four got their values. ``reconstruction`` is the name of a kind, in ``words``, or
    ``None``; then ``nearest`` and ``misfit`` tell. ``kl_form`` is a ``KlForm``, ``kl_frame`` what
    the loss takes its second array of latents for, ``kl_bound`` the floor, cap or capacity in
    nats on ``kl_over``, ``clamps`` the bounds of latents that are clamped. Reductions are those
    in effect: ``original_dim`` times a mean is a sum; ``None`` for neither, or where one size
    cannot tell. ``fixed`` names the sizes that could not be varied. ``process`` is where the loss
    was called: in a ``child`` process or in ``this`` one.
    """

    name: str
    framework: str
    returns: str
    total: str
    filled: tuple[str, ...]
    d: int
    k: int
    batch_size: int
    n_images: int
    settings: Mapping[str, object]
    reconstruction: str | None
    words: str
    nearest: str
    misfit: float
    kl_form: str
    kl_frame: str
    kl_bound: float | None
    kl_over: str
    clamps: tuple[str, ...]
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
    process: str = "child"

    @property
    def linear(self) -> bool:
        """Whether the objective is ``a*R + b*K`` with numbers for a and b."""
        return math.isfinite(self.beta_eff.value)

    def critical(self, threshold: float) -> int | None:
        """Return the largest k up to which the loss collapses at every k, at that threshold.

        ``None`` where beta_eff does not fall with k, or has no formula.
        """
        if not (self.power_of_k or 0) < 0 or not self.beta_eff.value > 0:
            return None
        ratio = self.beta_eff.value / threshold
        return math.floor(self.k * math.pow(ratio, -1 / (self.power_of_k or -1)) + 1e-9)
