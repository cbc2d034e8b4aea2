"""``lossbench data``: what a data set is, before anything is asked of it."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from lossbench.loss import Scale


def data(
    dataset: Annotated[
        str, typer.Argument(help="digits, patches, mnist, fashion_mnist, or a file or folder.")
    ],
    d: Annotated[int | None, typer.Option(help="Inputs, where images can be made smaller.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder with IDX files of MNIST.")] = None,
    scale: Annotated[
        str | None, typer.Option(help="auto, none, unit, standard or max; auto where it can be.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what a data set is: shape, range, splits, which likelihoods fit, and their thresholds.

    Examples: `lossbench data digits`, `lossbench data photos/:64`, `lossbench data mine.csv:-name`
    """
    from lossbench import description  # noqa: PLC0415
    from lossbench.console import screen  # noqa: PLC0415
    from lossbench.console.description import description_tables, reading_bar  # noqa: PLC0415
    from lossbench.settings import KEYS  # noqa: PLC0415

    asked_scale = None if scale is None else cast("Scale", KEYS["scale"].parsed(scale, "--scale"))
    with reading_bar():
        described = description.describe(dataset, d, data_dir, asked_scale)
    if json:
        screen.show_json(described)
        return
    screen.show(description_tables(described))
    asked = ["lossbench", "predict", "--dataset", dataset]
    asked += [] if d is None else ["--d", str(d)]
    asked += [] if described.scale == "auto" else ["--scale", described.scale]
    kinds = [fit.reconstruction_loss for fit in described.fits]
    usual = KEYS["reconstruction_loss"].axis[0]
    asked += [] if usual in kinds or not kinds else ["--reconstruction-loss", kinds[0]]
    asked += [] if data_dir is None else ["--data-dir", str(data_dir)]
    screen.tell_command("next", shlex.join(asked))
