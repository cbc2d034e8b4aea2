"""A data set on a terminal: what it is, which likelihoods fit, and what they make of it."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Group, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from lossbench.console.screen import messages
from lossbench.data import reading_told
from lossbench.description import Description
from lossbench.words import counted, joined, significant

_WIDTH = 80
_MOST_LISTED = 8
_MOST_THRESHOLDS = 4
_NO_MEAN = 1e-6  # of the range: what is left of a mean of 0 in single precision
_UNSCALED = (
    "These are the numbers as they are. --scale standard gives every column the variance 1, "
    "--scale unit takes the numbers to [0, 1]."
)
_SCALED = {
    "unit": "; 0 and 1 were the least and the largest",
    "standard": "; each input has mean 0, variance 1",
    "max": "; divided by the largest magnitude",
}


@contextmanager
def reading_bar() -> Iterator[None]:
    """Show a bar, on a terminal alone, for how much of a folder of images has been read."""
    with Progress(
        *(TextColumn("reading"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()),
        console=messages(),
        transient=True,
        disable=not messages().is_terminal or messages().is_dumb_terminal,
    ) as bar:
        task = bar.add_task("reading", total=None, visible=False)

        def told(done: int, n_all: int) -> None:
            bar.update(task, completed=done, total=n_all, visible=done < n_all)

        with reading_told(told):
            yield


def description_tables(described: Description) -> Group:
    """Return what a data set is, at most 80 columns wide but for its name."""
    return Group(*_parts(described))


def _parts(described: Description) -> Iterator[RenderableType]:
    shape = " x ".join(map(str, described.shape))
    yield Text(f"{described.dataset}, d {described.d}", style="bold")
    flat = len(described.shape) < 2
    yield Text(f"one example is {counted(described.d, 'number') if flat else f'an image, {shape}'}")
    yield Text(
        f"{counted(described.n_train, 'training example')}, "
        f"{counted(described.n_test, 'test example')}"
    )
    is_centred = abs(described.mean) < _NO_MEAN * (described.largest - described.least)
    yield Text(
        f"values from {significant(described.least, 4)} to {significant(described.largest, 4)}, "
        f"mean {significant(0 if is_centred else described.mean, 4)}{_scaled(described)}"
    )
    if described.n_clipped:
        yield Text(
            f"{counted(described.n_clipped, 'value')} of the test split clipped to what the "
            "training split spans",
            style="yellow",
        )
    if constant := described.constant_inputs:
        listed = ", ".join(map(str, (described.constant_names or constant)[:_MOST_LISTED]))
        more = f" and {len(constant) - _MOST_LISTED} more" if len(constant) > _MOST_LISTED else ""
        yield Text(
            f"{counted(len(constant), 'input')} never "
            f"{'varies' if len(constant) == 1 else 'vary'} in training: {listed}{more}",
            style="yellow",
        )
    yield Text()
    yield _fits(described)
    yield Text()
    names = joined(fit.reconstruction_loss for fit in described.fits) or "No likelihoods"
    told = (
        f"{names} fit these values. R_0 is the reconstruction in nats when every example gets the "
        "training mean; beta_eff of t_1 and above collapses."
    )
    yield Text(textwrap.fill(told, _WIDTH), style="dim")
    as_they_are = [fit for fit in described.fits if fit.scale != described.scale]
    if as_they_are:
        counts = joined(fit.reconstruction_loss for fit in as_they_are)
        yield Text(textwrap.fill(f"{counts}: of the numbers as they are.", _WIDTH), style="dim")
    if described.scale == "none":
        yield Text(textwrap.fill(_UNSCALED, _WIDTH), style="dim")
    if not any(fit.thresholds for fit in described.fits):
        told = f"The thresholds of {described.d:,} inputs take a while: predict tells them."
        yield Text(told, style="dim")


def _scaled(described: Description) -> str:
    """Return what was done to the numbers."""
    by = f"; the file's were divided by {significant(described.divided_by)}"
    return _SCALED.get(described.scale, by if described.divided_by != 1 else "")


def _fits(described: Description) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("reconstruction_loss", no_wrap=True)
    for heading in ("R_0", "R_0, test", *(f"t_{j}" for j in range(1, _MOST_THRESHOLDS + 1))):
        table.add_column(heading, justify="right", no_wrap=True)
    for fit in described.fits:
        cells = [
            f"{fit.reconstruction_of_nothing:.2f}",
            f"{fit.reconstruction_of_nothing_test:.2f}",
        ]
        cells += [significant(t, 4) for t in fit.thresholds[:_MOST_THRESHOLDS]]
        table.add_row(fit.reconstruction_loss, *cells)
    return table
