"""The algebra on a screen: a derivation, the equal setting elsewhere, the catalogue, a history."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lossbench.console.screen import INDENT, Indented
from lossbench.explanation import Derivation, Equivalent, Listed, Step
from lossbench.loss import FORM, Sizes
from lossbench.words import significant

_GAP = "  "
_NARROWEST_AXIS = 12
_WIDEST_AXIS = 60
_RIGHT = ("beta_eff",)
_BELOW = ("from", "flags", "why not")  # what a second line may hold
_LEGEND = (
    "mean: the sizes that the loss averages over; it sums over the others.",
    "formula: of beta_eff; beta multiplies the weight that the code has by default.",
    "B, N: beta_eff depends on the batch size, on the data size. scale B: only the step scale "
    "does. noise: the code's factor on its sampling noise (a sweep has 1).",
    "warm-up, floor, capacity, sampled KL: a sweep trains the loss with its own. own laplace: bce "
    "or mse train its scaling alone, reconstruction_loss own that likelihood. approximately: "
    "`lossbench explain NAME` says what is left out.",
    "`lossbench explain NAME` derives one, `lossbench explain --lineage keras` tells a history.",
)
_Row = dict[str, str]


def number(value: Fraction) -> str:
    """Return a number to six digits, a small one to four."""
    return significant(value, 4 if abs(value) < 1 else 6)


def _exact(value: Fraction) -> str:
    """Return a number to be copied."""
    return significant(value, 10)


def at(sizes: Sizes, beta: Fraction) -> str:
    """Return the sizes in one line, such as ``d 784, k 2, B 128, N 60000, beta 1``."""
    known = [f"{letter} {size}" for letter, size in sizes.symbols().items()]
    return ", ".join([*known, f"beta {number(beta)}"])


def derivation_of(derived: Derivation) -> RenderableType:
    """Return a derivation: steps, what it means, what surprises, what the web says."""
    entry = derived.listed.entry
    kind = f"{derived.optimum.reconstruction_loss} " if derived.optimum else ""
    parts: list[RenderableType] = [
        Text(f"{entry.name}: {entry.convention.title}", style="bold"),
        Text(f"{kind}at {at(derived.listed.sizes, derived.listed.beta)}", style="dim"),
    ]
    for place, step in enumerate(derived.steps):
        parts.extend(_step(step, f"{place}. " if place else ""))
    if derived.optimum is not None:
        heading = "What it means" if entry.trainable else f"What it would mean as {FORM}"
        parts.extend(_step(Step(heading, text=derived.optimum.meaning)))
    if derived.surprises:
        parts.extend(_step(Step("What surprises", derived.surprises), wrapped=True))
    if derived.on_data:
        on = derived.on_data
        dataset = f"On {on[0].dataset}, where nothing is learned"
        texts = " ".join(each.meaning(derived.listed.beta_eff) for each in on)
        parts.extend(_step(Step(dataset, tuple(each.formula for each in on), texts)))
    for answer in derived.answers:
        parts.extend(_step(answer))
    source = f"{entry.source} ({entry.date})"
    parts.extend(_step(Step("Where it is from", (source, entry.note)), wrapped=True))
    return Group(*parts)


def _step(step: Step, prefix: str = "", *, wrapped: bool = False) -> Iterator[RenderableType]:
    yield Text()
    yield Text(prefix + step.title, style="bold")
    for formula in step.formulas:
        yield Indented(formula) if wrapped else Text(" " * INDENT + formula, style="cyan")
    if step.text:
        yield Indented(step.text)


def equivalent_of(same: Equivalent) -> RenderableType:
    """Return the equal setting in another convention and what each optimizer needs for it."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("loss", overflow="fold")
    if same.decoding is not None:
        table.add_column("likelihood", overflow="fold")
        table.add_column("data")
    for heading in ("beta", "a", "b", "beta_eff"):
        table.add_column(heading, justify="right", no_wrap=True)
    sides = (
        ("from", same.loss, same.beta, same.coefficients),
        ("to", same.other, same.other_beta, same.other_coefficients),
    )
    here, there = same.loss, same.other
    rest: list[RenderableType] = []
    decoded: tuple[tuple[str, ...], ...] = ((), ())
    constant, also = "", ""
    if same.decoding is not None:
        both = same.decoding.here, same.decoding.there
        decoded = tuple((side.words, side.reach) for side in both)
        here, there = (
            f"{loss} with {side.words}{f' on {side.reach}' if same.decoding.stretch != 1 else ''}"
            for loss, side in zip((here, there), both, strict=True)
        )
        lines = same.decoding.formulas(same.beta_eff)
        rest = [*(Indented(line, style="cyan") for line in lines), *([Text()] if lines else [])]
        constant = ", but for a constant" if same.decoding.has_constant else ""
        also = ", and the same beta_eff/t_1" if not both[0].likelihood.no_threshold else ""
    for (side, loss, beta, ab), more in zip(sides, decoded, strict=True):
        table.add_row(side, loss, *more, _exact(beta), *map(number, (ab.a, ab.b, ab.beta_eff)))
    title = f"{here} at beta {_exact(same.beta)} is {there} at beta {_exact(same.other_beta)}"
    parts: list[RenderableType] = [
        Text(title, style="bold"),
        Text(f"at {at(same.sizes, same.beta)}", style="dim"),
        *(Text(), table, Text(), *rest),
    ]
    if same.scale == 1:
        parts.append(Text(f"The same objective{constant}: nothing else need change."))
    else:
        parts.append(
            Text(
                f"The same optimum{also}. The objective of {there} is c = {_exact(same.scale)} "
                f"times that of {here}{constant}, and so is its gradient. For the same run:"
            )
        )
        parts.extend((Text(), _needs(same)))
    for text in same.cautions:
        parts.extend((Text(), Text(text)))
    return Group(*parts)


def _needs(same: Equivalent) -> Table:
    """Return what each optimizer needs so that its steps are the same."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_row("SGD", f"learning rate times 1/c = {_exact(same.sgd_learning_rate_factor)}")
    table.add_row(
        "Adam",
        f"epsilon times c: Keras' 1e-07 becomes {_exact(same.adam_epsilon)}; learning rate as "
        "it was",
    )
    table.add_row(
        "RMSprop",
        f"epsilon times c^2 = {_exact(same.rmsprop_epsilon_factor)}, since Keras has it under "
        "the root; learning rate as it was",
    )
    table.add_row("clipping", "thresholds on the gradient times c")
    return table


def catalogue_of(rows: Sequence[Listed], width: int) -> RenderableType:
    """Return the catalogue as two lists: what can be trained, and what cannot, with reasons.

    ``width`` is the console's: where a row does not fit it takes a second line; no name is cut.
    """
    where = at(rows[0].sizes, rows[0].beta)
    trainable = [row for row in rows if row.entry.trainable]
    others = [row for row in rows if not row.entry.trainable]
    return Group(
        Text(f"{len(trainable)} losses that a sweep can train, at {where}", style="bold"),
        *_list(trainable, width),
        Text(),
        Text(
            f"{len(others)} that no sweep trains: the closest a*R + b*K, and why not", style="bold"
        ),
        *_list(others, width),
        Text(),
        *(Text(line, style="dim") for line in _LEGEND),
    )


def _list(rows: Sequence[Listed], width: int) -> Iterator[RenderableType]:
    table = [_cells(row) for row in rows]
    whole = [name for name in table[0] if any(row[name] for row in table)]
    undated = [name for name in whole if name != "date"]
    short = [name for name in undated if name not in ("from", "why not")]
    shorter = [name for name in short if name != "flags"]
    choices = (whole, undated, short, shorter)
    columns = next((names for names in choices if _width(table, names) <= width), shorter)
    below = [name for name in _BELOW if name in undated and name not in columns]
    yield Text(_line({name: name for name in columns}, table, columns), style="dim")
    for row in table:
        yield Text(_line(row, table, columns))
        if below:
            facts = [row[name] for name in below if row[name]]
            facts[0] += f", {row['date']}"  # from is the first of those that can stand below
            yield Indented("; ".join(facts), style="dim")


def _cells(row: Listed) -> _Row:
    return {
        "loss": row.entry.name,
        "mean": " ".join(row.averaged) or "-",
        "formula": row.formula,
        "beta_eff": number(row.beta_eff),
        "flags": ", ".join(row.flags),
        "from": row.entry.origin,
        "date": row.entry.date.replace("after ", ">"),
        "why not": row.entry.reason,
    }


def _widths(table: Sequence[_Row], columns: Sequence[str]) -> dict[str, int]:
    return {name: max(len(name), *(len(row[name]) for row in table)) for name in columns}


def _width(table: Sequence[_Row], columns: Sequence[str]) -> int:
    return sum(_widths(table, columns).values()) + len(_GAP) * (len(columns) - 1)


def _line(row: _Row, table: Sequence[_Row], columns: Sequence[str]) -> str:
    widths = _widths(table, columns)
    cells = (
        f"{row[name]:>{widths[name]}}" if name in _RIGHT else f"{row[name]:<{widths[name]}}"
        for name in columns
    )
    return _GAP.join(cells).rstrip()


def lineage_of(rows: Sequence[Listed], width: int, *, ascii_only: bool) -> RenderableType:
    """Return beta_eff by date, a row each, with a dot on a logarithmic axis.

    ``width`` is the console's, in characters; the vertical line is beta_eff = 1.
    """
    table = [_cells(row) for row in rows]
    columns = ["date", "loss", "beta_eff"]
    if any(row["flags"] for row in table):
        columns.append("flags")
    room = width - _width(table, columns) - len(_GAP)
    if room < _NARROWEST_AXIS and "flags" in columns:
        columns.remove("flags")
        room = width - _width(table, columns) - len(_GAP)
    axis = _Axis([float(row.beta_eff) for row in rows], min(room, _WIDEST_AXIS), ascii_only)
    head = _line({name: name for name in columns}, table, columns)
    place = _width(table, columns) + len(_GAP)
    lines = [Text(f"{head:<{place}}{axis.labels()}", style="dim")]
    for row, cells in zip(rows, table, strict=True):
        line = Text(f"{_line(cells, table, columns):<{place}}")
        line.append(axis.drawn(float(row.beta_eff)))
        lines.append(line)
    return Group(
        Text(f"beta_eff of {rows[0].entry.lineage} by date", style="bold"),
        Text(_usual_sizes(rows), style="dim"),
        *lines,
    )


def _usual_sizes(rows: Sequence[Listed]) -> str:
    """Return the sizes of most rows, and those of the rows that have others."""
    sizes = [f"d {row.sizes.d}, k {row.sizes.k}" for row in rows]
    (usual, _), *_ = Counter(sizes).most_common(1)
    others = [f"{row.entry.name}: {s}" for row, s in zip(rows, sizes, strict=True) if s != usual]
    beta = f", beta {number(rows[0].beta)}" if rows[0].beta != 1 else ""
    exceptions = f" ({'; '.join(others)})" if others else ""
    return f"at {usual}{beta}{exceptions}"


class _Axis:
    """A logarithmic axis of so many characters, around the values and 1."""

    def __init__(self, values: Sequence[float], room: int, ascii_only: bool) -> None:
        logs = [math.log10(value) for value in values if value > 0] + [0.0]
        self._low, self._high = min(logs), max(logs)
        self._last = max(room, 1) - 1
        self._dot, self._bar = ("o", "|") if ascii_only else ("●", "│")

    def _place(self, log: float) -> int:
        span = self._high - self._low
        return round((log - self._low) / span * self._last) if span else 0

    def labels(self) -> str:
        """Return the powers of ten over their places, as many as there is room for."""
        text = ""
        for power in range(math.ceil(self._low - 1e-9), math.floor(self._high + 1e-9) + 1):
            place, label = self._place(power), significant(10.0**power)
            if place + len(label) <= self._last + 1 and (not text or place > len(text)):
                text = f"{text:<{place}}{label}"
        return text

    def drawn(self, value: float) -> str:
        """Return one row of the axis; zero stands at its left end as an arrow."""
        cells = [" "] * (self._last + 1)
        cells[self._place(0.0)] = self._bar
        cells[self._place(math.log10(value)) if value > 0 else 0] = self._dot if value > 0 else "<"
        return "".join(cells).rstrip()
