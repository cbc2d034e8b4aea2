"""``lossbench init``: a commented experiment file to start from."""

from pathlib import Path
from typing import Annotated

import typer

from lossbench.errors import UsageError


def init(
    name: Annotated[str, typer.Argument(help="Name of the experiment.")] = "experiment",
) -> None:
    """Write NAME.toml, a commented experiment file to start from.

    Example: `lossbench init mine` and then `lossbench sweep mine.toml`.
    """
    from lossbench.console.screen import tell  # noqa: PLC0415
    from lossbench.experiment import TEMPLATE  # noqa: PLC0415

    path = Path(name if name.endswith(".toml") else f"{name}.toml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            "the experiment file cannot be written",
            where=str(path),
            received=error.strerror or str(error),
            remedy="choose another name",
        ) from None
    tell(f"wrote {path}\nnext: lossbench sweep {path} --dry-run")
