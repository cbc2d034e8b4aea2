"""The two consoles, how an error is told, and a curve in a few characters."""

import functools
import json
import math
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from lossbench.errors import LossbenchError
from lossbench.words import plain

INDENT = 3

_PIPE_WIDTH = 160
_NARROWEST = 80
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-~=+*#"
_SETTLED = 0.2  # the part of a curve that its range leaves out: its first steps are far off
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed


class _Console(Console):
    """A console on which a name from somebody else's file is text and never a command."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield segment._replace(text=_CONTROL_CHARACTERS.sub("", segment.text))


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


@functools.cache
def _console(*, stderr: bool) -> Console:
    """Return the console of a stream; a pipe gets room enough for every name."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    if width is None and not stderr and shutil.get_terminal_size().columns < _NARROWEST:
        width = _NARROWEST  # the terminal wraps, which is better than half names
    return _Console(stderr=stderr, width=width, highlight=False, emoji=False, markup=False)


def out() -> Console:
    """Return the console for results, stdout."""
    return _console(stderr=False)


def ascii_only() -> bool:
    """Tell whether the terminal's encoding has no more than ASCII."""
    return out().options.ascii_only


def messages() -> Console:
    """Return the console for everything that is not a result, stderr."""
    return _console(stderr=True)


def show(renderable: RenderableType) -> None:
    """Print a result."""
    out().print(renderable)


def tell(text: str, style: str = "") -> None:
    """Print one message; it wraps between words and is never cut."""
    messages().print(Text(text, style=style))


def tell_command(label: str, command: str) -> None:
    """Print a command to try, on one line, so that it can be copied."""
    messages().print(Text(f"{label}: {command}"), soft_wrap=True)


def show_path(path: object) -> None:
    """Print the path of what a command made, on one line, so that it can be copied."""
    out().print(Text(str(path)), soft_wrap=True)


def show_json(facts: object) -> None:
    """Print records or plain values as JSON, without colours whatever the terminal."""
    sys.stdout.write(json.dumps(plain(facts), indent=2, allow_nan=False) + "\n")


def show_error(error: LossbenchError) -> None:
    """Print an error: what is wrong first, then what was expected and what to do."""
    problem, _, facts = str(error).partition("\n")
    messages().print(Text("error: ", style="bold red") + Text(problem, style="bold"))
    if facts:
        messages().print(Text(facts))


def settled_range(curves: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the least and the largest value of several curves past their first fifth."""
    values = [
        value
        for curve in curves
        for value in curve[math.floor(_SETTLED * len(curve)) :]
        if math.isfinite(value)
    ]
    return (min(values), max(values)) if values else (0.0, 0.0)


def sparkline(
    curve: Sequence[float], width: int, low: float, high: float, *, ascii_only: bool = False
) -> str:
    """Return ``curve`` in ``width`` characters between ``low`` and ``high``; empty without points.

    >>> sparkline([0, 1, 2, 3], 4, 0, 3)
    '▁▃▆█'
    >>> sparkline([-9, 1, 1], 3, 1, 1, ascii_only=True)
    '___'
    """
    if not curve:
        return ""
    marks = _ASCII if ascii_only else _BLOCKS
    places = [round(step * (len(curve) - 1) / max(width - 1, 1)) for step in range(width)]
    span = high - low
    shares = [(curve[place] - low) / span if span > 0 else 0.0 for place in places]
    return "".join(
        marks[round(min(max(share, 0.0), 1.0) * (len(marks) - 1))] if math.isfinite(share) else " "
        for share in shares
    )
