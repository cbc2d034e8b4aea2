"""``lossbench report``: figures and one self-contained page, from tables alone."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="Results folders; without one, every one under results/."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The page [report.html in the folder, or above several]."),
    ] = None,
) -> None:
    """Write figures (PNG and SVG) and one HTML page that needs no network.

    The figures go to `figures/` in each results folder.

    Examples: `lossbench report results/digits`, `lossbench report`
    """
    from lossbench.console.screen import show_path, tell  # noqa: PLC0415
    from lossbench.report import write_report  # noqa: PLC0415
    from lossbench.store import folders  # noqa: PLC0415

    asked = list(dict.fromkeys(results)) if results else folders()
    *places, page = write_report(asked, out)
    for place in places:
        tell(f"wrote {place}/")
    show_path(page)
