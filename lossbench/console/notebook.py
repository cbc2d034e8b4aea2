"""A record as the command prints it: as text for ``print``, as HTML for a notebook."""

import io
from collections.abc import Callable
from typing import Any

from rich.console import Console, RenderableType
from rich.terminal_theme import TerminalTheme

from lossbench.auditing import Audit
from lossbench.comparison import Comparison
from lossbench.console.audit import audit_report
from lossbench.console.comparison import comparison_table
from lossbench.console.description import description_tables
from lossbench.console.explanation import derivation_of, equivalent_of
from lossbench.console.latents import latents_table
from lossbench.console.measurement import measurement_tables
from lossbench.console.prediction import prediction_tables
from lossbench.console.recommendation import recommendation_of
from lossbench.console.summary import summary_tables
from lossbench.description import Description
from lossbench.explanation import Derivation, Equivalent
from lossbench.measurement import Measurement
from lossbench.prediction import Prediction
from lossbench.recommendation import Recommendation
from lossbench.store import Summary
from lossbench.sweeping import Swept
from lossbench.trained import Carried

_WIDTH = 118
_FORMAT = (
    "<pre style=\"font-family: Menlo, 'DejaVu Sans Mono', Consolas, monospace; font-size: 0.9em; "
    'line-height: 1.3; white-space: pre; overflow-x: auto; background: none; color: inherit">'
    "{code}</pre>"
)
# Text takes the notebook's own colour; the others are read on white and on black.
_GREY, _GREEN, _AMBER, _RED, _BLUE = (
    *((128, 128, 128), (46, 139, 87), (190, 130, 20)),
    *((214, 69, 69), (52, 140, 190)),
)
_COLOURS = TerminalTheme(_GREY, _GREY, [_GREY, _RED, _GREEN, _AMBER, _BLUE, _RED, _BLUE, _GREY])


def html(record: object) -> str:
    """Return a record as a piece of HTML, on a page of 118 columns."""
    return _printed(record, _WIDTH).export_html(
        theme=_COLOURS, code_format=_FORMAT, inline_styles=True
    )


def text(record: object) -> str:
    """Return a record as plain text, as wide as the terminal, 80 columns where there is none."""
    return _printed(record, None).export_text().rstrip("\n")


def _printed(record: object, width: int | None) -> Console:
    console = Console(
        record=True,
        width=width,
        file=io.StringIO(),
        force_jupyter=False,  # or it would show the page itself, too
        highlight=False,
        emoji=False,
        markup=False,
    )
    console.print(_PAGES[type(record)](record, console))
    return console


_Page = Callable[[Any, Console], RenderableType]
_PAGES: dict[type, _Page] = {
    Audit: lambda audit, _: audit_report(audit),
    Carried: lambda found, _: latents_table(found),
    Comparison: lambda comparison, _: comparison_table(comparison),
    Description: lambda described, _: description_tables(described),
    Derivation: lambda derivation, _: derivation_of(derivation),
    Equivalent: lambda equivalent, _: equivalent_of(equivalent),
    Measurement: lambda measured, _: measurement_tables(measured),
    Prediction: prediction_tables,
    Recommendation: lambda found, _: recommendation_of(found),
    Summary: summary_tables,
    Swept: lambda swept, console: summary_tables(swept.summary, console),
}
