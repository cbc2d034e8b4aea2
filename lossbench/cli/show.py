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
    from lossbench.console import screen  # noqa: PLC0415
    from lossbench.console.summary import curves_to_draw, summary_tables  # noqa: PLC0415
    from lossbench.store import Store, folders  # noqa: PLC0415

    for folder in folders(results):
        store = Store(folder)
        table = store.summary()
        if json:
            screen.show_json({"folder": str(folder), "settings": screen.plain_rows(table)})
            continue
        screen.tell(str(folder), style="bold")
        screen.show(summary_tables(table, curves_to_draw(store, table), screen.out()))
