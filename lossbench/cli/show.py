"""``lossbench show``: the summary tables again."""

from pathlib import Path
from typing import Annotated

import typer


def show(
    results: Annotated[
        Path | None,
        typer.Argument(help="A results folder; without it, every one under results/."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the summary of finished sweeps, from their tables alone.

    Example: `lossbench show results/default`
    """
    from lossbench.console.screen import tell  # noqa: PLC0415
    from lossbench.console.summary import show_summary  # noqa: PLC0415
    from lossbench.store import Store, folders  # noqa: PLC0415

    for folder in folders(results):
        store = Store(folder)
        summary = store.summary()
        if not json:
            tell(str(folder), style="bold")
        show_summary(store, summary, as_json=json)
