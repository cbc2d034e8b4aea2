"""The algebra on a screen: a derivation, and the equal setting in another convention."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from lossbench.explanation import Derivation, Equivalent, Step
from lossbench.loss import FORM, Sizes

INDENT = 3


@dataclass(frozen=True)
class Indented:
    """A paragraph that wraps between words, every line indented and none padded."""

    text: str
    style: str = ""

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield its lines at the console's width."""
        yield from (
            Text(line, style=self.style)
            for line in textwrap.wrap(
                self.text,
                options.max_width,
                initial_indent=" " * INDENT,
                subsequent_indent=" " * INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )


def number(value: Fraction | None) -> str:
    """Return a number to six digits, a small one to four; an unknown one is empty."""
    if value is None:
        return ""
    real = float(value)
    return f"{real:.4g}" if abs(real) < 1 else f"{real:.6g}"


def at(sizes: Sizes, beta: Fraction) -> str:
    """Return the sizes in one line, such as ``d 784, k 2, B 128, N 60000, beta 1``."""
    known = [f"{letter} {size}" for letter, size in sizes.symbols().items()]
    return ", ".join([*known, f"beta {number(beta)}"])


def derivation_of(told: Derivation) -> RenderableType:
    """Return a derivation: steps, what it means, what surprises, what the web says."""
    entry = told.listed.entry
    kind = f"{told.optimum.reconstruction_loss} " if told.optimum else ""
    parts: list[RenderableType] = [
        Text(f"{entry.name}: {entry.convention.title}", style="bold"),
        Text(f"{kind}at {at(told.listed.sizes, told.listed.beta)}", style="dim"),
    ]
    for place, step in enumerate(told.steps):
        parts.extend(_step(step, f"{place}. " if place else ""))
    if told.optimum is not None:
        heading = "What it means" if entry.trainable else f"What it would mean as {FORM}"
        parts.extend(_step(Step(heading, text=told.optimum.meaning)))
    if told.surprises:
        parts.extend(_step(Step("What surprises", told.surprises), wrapped=True))
    for answer in told.answers:
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


def equivalent_of(told: Equivalent) -> RenderableType:
    """Return the equal setting in another convention and what each optimizer needs for it."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("loss", overflow="fold")
    for heading in ("beta", "a", "b", "beta_eff"):
        table.add_column(heading, justify="right", no_wrap=True)
    sides = (
        ("from", told.loss, told.beta, told.coefficients),
        ("to", told.other, told.other_beta, told.other_coefficients),
    )
    for side, loss, beta, ab in sides:
        table.add_row(side, loss, _exactly(beta), *map(number, (ab.a, ab.b, ab.beta_eff)))
    title = f"{told.loss} at beta {_exactly(told.beta)} is {told.other} at beta "
    parts: list[RenderableType] = [
        Text(title + _exactly(told.other_beta), style="bold"),
        Text(f"at {at(told.sizes, told.beta)}", style="dim"),
        Text(),
        table,
        Text(),
    ]
    if told.scale == 1:
        parts.append(Text("The same objective: nothing else need change."))
    else:
        parts.append(
            Text(
                f"The same optimum. The objective of {told.other} is c = {_exactly(told.scale)} "
                f"times that of {told.loss}, and so is its gradient. For the same run:"
            )
        )
        parts.extend((Text(), _needs(told)))
    for text in told.cautions:
        parts.extend((Text(), Text(text)))
    return Group(*parts)


def _needs(told: Equivalent) -> Table:
    """Return what each optimizer needs so that its steps are the same."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_row("SGD", f"learning rate times 1/c = {_exactly(told.sgd_learning_rate_factor)}")
    table.add_row(
        "Adam",
        f"epsilon times c: Keras' 1e-07 becomes {_exactly(told.adam_epsilon)}; learning rate as "
        "it was",
    )
    table.add_row(
        "RMSprop",
        f"epsilon times c^2 = {_exactly(told.rmsprop_epsilon_factor)}, since Keras has it under "
        "the root; learning rate as it was",
    )
    table.add_row("clipping", "thresholds on the gradient times c")
    return table


def _exactly(value: Fraction) -> str:
    """Return a number to be copied, to ten significant digits."""
    return f"{float(value):.10g}"
