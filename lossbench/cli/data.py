"""``lossbench data``: what a data set is, before anything is asked of it."""

import shlex
from pathlib import Path
from typing import Annotated

import typer


def data(
    dataset: Annotated[
        str, typer.Argument(help="digits, patches, mnist, fashion_mnist, or a file or folder.")
    ],
    d: Annotated[int | None, typer.Option(help="Inputs, where images can be made smaller.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder with IDX files of MNIST.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what a data set is: shape, range, splits, which likelihoods fit, and their thresholds.

    Examples: `lossbench data digits`, `lossbench data photos/:64`, `lossbench data mine.csv:-name`
    """
    from lossbench import description  # noqa: PLC0415
    from lossbench.console import screen  # noqa: PLC0415
    from lossbench.console.description import description_tables, reading_bar  # noqa: PLC0415

    with reading_bar() as progress:
        described = description.describe(dataset, d, data_dir, progress)
    if json:
        screen.show_json(described)
        return
    screen.show(description_tables(described))
    asked = ["lossbench", "predict", "--dataset", dataset]
    asked += [] if d is None else ["--d", str(d)]
    asked += [] if data_dir is None else ["--data-dir", str(data_dir)]
    screen.tell_command("next", shlex.join(asked))
