"""What the algebra says of two trained objectives, before any metric is looked at.

Every loss is ``a*R + b*K``; ``beta_eff = b/a`` decides the optimum and ``a`` sets the scale.
Two objectives with the same beta_eff are the same up to a factor.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from lossbench.comparison.pairing import Row, Value
from lossbench.loss import CONSTANT
from lossbench.optimizer import FEELS_NO_FACTOR, OPTIMIZERS
from lossbench.settings import SETTINGS
from lossbench.words import joined, setting, significant, spread

OBJECTIVE_SETTINGS = tuple(each.field for each in SETTINGS if each.objective)

Relation = Literal["identical", "scaled", "rescheduled", "different", "unknown"]
_RELATIVE = 1e-9
_SCHEDULE = "kl_schedule"


@dataclass(frozen=True)
class Side:
    """The objective that one side trains; what is not known of it is NaN."""

    loss: str
    beta: float
    a: float
    b: float
    beta_eff: float
    threshold: float
    optimizer: str

    @property
    def written(self) -> str:
        """The loss as its user writes it."""
        return f"{self.loss} at beta {setting(self.beta)}"

    @property
    def collapses(self) -> bool | None:
        """Whether theory says that it collapses; ``None`` where the threshold is not known."""
        if math.isnan(self.beta_eff) or math.isnan(self.threshold):
            return None
        return self.beta_eff >= self.threshold


def side_of(row: Row) -> Side:
    """Return the objective of a row of ``runs.csv``."""
    return Side(
        loss=str(row["loss"]),
        beta=_known(row["beta"]),
        a=_known(row["a"]),
        b=_known(row["b"]),
        beta_eff=_known(row["beta_eff"]),
        threshold=_known(row["threshold"]),
        optimizer=str(row["optimizer"]),
    )


def _known(cell: Value) -> float:
    """Return a cell as a number, NaN where it holds none."""
    return float(cell) if isinstance(cell, int | float) else math.nan


@dataclass(frozen=True)
class ObjectivePair:
    """The objectives of A and B in one cell.

    ``changed`` are the settings in ``OBJECTIVE_SETTINGS`` in which A and B differ; ``schedules``
    how the weight of either goes.
    """

    a: Side
    b: Side
    changed: tuple[str, ...] = ()
    schedules: tuple[str, str] = (CONSTANT, CONSTANT)

    @property
    def relation(self) -> Relation:
        """How the two are related; where another schedule ends at the same weight, it says so."""
        numbers = (self.a.a, self.a.beta_eff, self.b.a, self.b.beta_eff)
        if any(math.isnan(number) for number in numbers):
            return "unknown"
        if self.changed == (_SCHEDULE,) and _close(self.a.beta_eff, self.b.beta_eff):
            return "rescheduled"
        if self.changed or not _close(self.a.beta_eff, self.b.beta_eff):
            return "different"
        return "identical" if self.same_scale else "scaled"

    @property
    def same_scale(self) -> bool:
        """Whether both have the same ``a``."""
        return _close(self.a.a, self.b.a)


def _close(x: float, y: float) -> bool:
    return math.isclose(x, y, rel_tol=_RELATIVE)


def algebra(cells: Sequence[ObjectivePair]) -> str:
    """Return the algebra of a comparison in words: one sentence, and what follows from it."""
    relations = {cell.relation for cell in cells}
    if relations == {"identical"}:
        sentence = _identical(cells)
    elif relations == {"scaled"}:
        sentence = _scaled(cells)
    elif relations == {"rescheduled"}:
        sentence = _rescheduled(cells)
    elif relations == {"different"}:
        sentence = _different(cells)
    elif "unknown" in relations:
        sentence = "The coefficients a and b are not known, so the objectives cannot be related."
    else:
        n_same = sum(cell.relation != "different" for cell in cells)
        end = "at the last step " * ("rescheduled" in relations)
        sentence = (
            f"The same objective {end}up to a factor in {n_same} of {len(cells)} cells, "
            f"different objectives in {len(cells) - n_same}."
        )
    collapse = _collapse(cells[0]) if len(cells) == 1 else _collapses(cells)
    return f"{sentence} {collapse}".strip()


def _identical(cells: Sequence[ObjectivePair]) -> str:
    if len(cells) > 1:
        return f"Exactly the same objective in each of the {len(cells)} cells."
    a, b = cells[0].a, cells[0].b
    same = a.written if a.written == b.written else f"{a.written} is {b.written}"
    return f"Exactly the same objective: {same}."


def _scaled(cells: Sequence[ObjectivePair]) -> str:
    ratios = [cell.a.a / cell.b.a for cell in cells]
    factors = _range(max(ratio, 1 / ratio) for ratio in ratios)
    first = cells[0]
    smaller, larger = (first.a, first.b) if ratios[0] < 1 else (first.b, first.a)
    if len(cells) == 1:
        how = f"{smaller.written} is {larger.written}, divided by {factors}"
    else:
        how = f"{smaller.loss} is {larger.loss}, divided by it, in each of the {len(cells)} cells"
    optimizers = {side.optimizer for cell in cells for side in (cell.a, cell.b)}
    if optimizers <= set(FEELS_NO_FACTOR):
        names = joined(FEELS_NO_FACTOR[name] for name in sorted(optimizers))
        feels = f"{names} {'does' if len(optimizers) == 1 else 'do'} not feel the factor"
        decays = any(OPTIMIZERS[name].decays for name in optimizers)
        decay = "a weight penalty" if decays else "weight decay"
        feels += f" (but for epsilon); SGD, {decay} and gradient clipping do."
    else:
        feels = "SGD feels the factor as it would a factor on the learning rate; Adam would not."
    return f"The same objective up to a factor of {factors}: {how}. {feels}"


def _rescheduled(cells: Sequence[ObjectivePair]) -> str:
    """Return what the schedules differ in, and that they end at the same objective."""
    schedules = " against ".join(cells[0].schedules)
    ratios = [cell.a.a / cell.b.a for cell in cells]
    scaled = not all(_close(ratio, 1) for ratio in ratios)
    factor = f" up to a factor of {_range(max(x, 1 / x) for x in ratios)}" if scaled else ""
    ends = {significant(cell.a.beta_eff) for cell in cells}
    end = f", beta_eff {ends.pop()}" if len(ends) == 1 else ""
    where = f" in each of the {len(cells)} cells" if len(cells) > 1 else ""
    return (
        f"A and B differ in {_SCHEDULE} ({schedules}) and end with the same objective"
        f"{factor}{end}{where}."
    )


def _different(cells: Sequence[ObjectivePair]) -> str:
    changed = cells[0].changed
    why = f"A and B differ in {joined(changed)}, " if changed else ""
    effective = [(cell.a.beta_eff, cell.b.beta_eff) for cell in cells]
    if len(cells) == 1:
        first, second = (significant(beta_eff) for beta_eff in effective[0])
        same = f"with beta_eff {first} in both"
        weights = same if first == second else f"beta_eff {first} against {second}"
        return f"Different objectives: {why}{weights}."
    if any(beta_eff <= 0 for pair in effective for beta_eff in pair):
        return f"Different objectives: {why}the table has each cell's beta_eff."
    ratios = [first / second for first, second in effective]
    if all(_close(ratio, 1) for ratio in ratios):
        return f"Different objectives: {why}with the same beta_eff in each cell."
    side, other = "AB" if max(ratios) * min(ratios) >= 1 else "BA"
    times = _range(ratios if side == "A" else (1 / ratio for ratio in ratios))
    return f"Different objectives: {why}the beta_eff of {side} is {times} times that of {other}."


def _range(factors: Iterable[float]) -> str:
    return spread(significant(factor) for factor in sorted(factors))


def _collapse(cell: ObjectivePair) -> str:
    """Return on which side of its threshold each objective is; empty if that is not known."""
    if cell.a.collapses is None or cell.b.collapses is None:
        return ""
    place_a, threshold_a = _against_threshold(cell.a)
    place_b, threshold_b = _against_threshold(cell.b)
    head = f"{place_a} the threshold {threshold_a}"
    if (place_a, threshold_a) == (place_b, threshold_b):
        return f"{head}: {'both' if cell.a.collapses else 'neither'} should collapse."
    says_a = f"{head}: A {'should' if cell.a.collapses else 'should not'} collapse"
    other = "it" if _close(cell.a.threshold, cell.b.threshold) else f"the threshold {threshold_b}"
    if cell.a.collapses == cell.b.collapses:
        says_b = "so should B" if cell.b.collapses else "nor should B"
    else:
        says_b = "B should" if cell.b.collapses else "B should not"
    return f"{says_a}; {place_b} {other}: {says_b}."


def _against_threshold(side: Side) -> tuple[str, str]:
    """Return ``32 is above`` and ``3.32``, with digits enough to tell the two numbers apart."""
    for digits in range(3, 17):
        texts = significant(side.beta_eff, digits), significant(side.threshold, digits)
        if texts[0] != texts[1]:
            return f"{texts[0]} is {'above' if side.collapses else 'below'}", texts[1]
    return f"{significant(side.beta_eff)} is at", significant(side.threshold)


def _collapses(cells: Sequence[ObjectivePair]) -> str:
    """Return in how many cells each side collapses, by theory."""
    if any(side.collapses is None for cell in cells for side in (cell.a, cell.b)):
        return ""
    n_a = sum(bool(cell.a.collapses) for cell in cells)
    n_b = sum(bool(cell.b.collapses) for cell in cells)
    return (
        "beta_eff reaches its threshold, where the model should collapse, in "
        f"{n_a} of {len(cells)} cells for A and in {n_b} for B."
    )
