"""``lossbench init``: a commented experiment file, or network, to start from."""

from pathlib import Path
from typing import Annotated

import typer

from lossbench.errors import UsageError


def init(
    name: Annotated[
        str | None, typer.Argument(help="Name of the file [experiment, or nets].")
    ] = None,
    network: Annotated[
        bool, typer.Option("--network", help="Write NAME.py, a network of your own, instead.")
    ] = False,
) -> None:
    """Write NAME.toml, a commented experiment file to start from.

    Examples: `lossbench init mine` and then `lossbench sweep mine.toml`; `lossbench init
    --network` and then `lossbench sweep --network nets.py:build`.
    """
    from lossbench.console.screen import tell  # noqa: PLC0415
    from lossbench.experiment import TEMPLATE, TEMPLATE_NETS  # noqa: PLC0415

    template, end = (TEMPLATE_NETS, ".py") if network else (TEMPLATE, ".toml")
    stem = name or ("nets" if network else "experiment")
    path = Path(stem if stem.endswith(end) else f"{stem}{end}")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"the {'network' if network else 'experiment file'} cannot be written",
            where=str(path),
            received=error.strerror or str(error),
            remedy="choose another name",
        ) from None
    asked = f"--network {path}:build" if network else path
    tell(f"wrote {path}\nnext: lossbench sweep {asked} --dry-run")
