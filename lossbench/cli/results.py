"""``show``, ``compare``, ``report`` and ``export``: the commands that read finished results."""

import os
from pathlib import Path
from typing import Annotated

import typer

from lossbench.errors import GateTrippedError, UsageError

_SUFFIX = ".keras"


def show(
    results: Annotated[
        Path | None,
        typer.Argument(help="A results folder; without it, every one under results/."),
    ] = None,
    latents: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Show what each latent of a run with weights carries."),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder with IDX files of MNIST, for --latents.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the summary of finished sweeps, from their tables alone.

    `--latents` shows one run in place of it, which `sweep --save-weights` kept.

    Examples: `lossbench show results/default`, `lossbench show --latents
    results/mine:loss=docs,beta=1`
    """
    if latents is not None:
        _show_latents(results, latents, data_dir, as_json=json)
        return
    from lossbench.console.screen import tell  # noqa: PLC0415
    from lossbench.console.summary import show_summary  # noqa: PLC0415
    from lossbench.store import folders, summary  # noqa: PLC0415

    for folder in folders(results):
        found = summary(folder)
        if not json:
            tell(str(folder), style="bold")
        show_summary(found, as_json=json)


def _show_latents(results: Path | None, run: str, data_dir: Path | None, *, as_json: bool) -> None:
    from lossbench import trained  # noqa: PLC0415
    from lossbench.console import screen  # noqa: PLC0415
    from lossbench.console.latents import latents_table  # noqa: PLC0415

    found = trained.carried(trained.kept(run if results is None else f"{results}:{run}"), data_dir)
    if as_json:
        screen.show_json(found)
    else:
        screen.show(latents_table(found))


def compare(
    run_a: Annotated[str, typer.Argument(help="A run id, a unique prefix of one, or a selection.")],
    run_b: Annotated[str, typer.Argument(help="What to compare it with.")],
    fail_if: Annotated[
        str | None,
        typer.Option(help="Exit with 4 if this holds of B minus A, e.g. 'elbo < -0.5'."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page of its own, too.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two runs, or two selections paired by seed: the algebra first, then the numbers.

    A selection is columns of runs.csv: `loss=blog,beta=1`, or `results/digits:loss=blog,beta=1`
    with its folder. Every difference is B minus A.

    Example: `lossbench compare loss=docs,beta=1,d=64,k=2 loss=blog,beta=1,d=64,k=2`
    """
    from lossbench import api  # noqa: PLC0415
    from lossbench.comparison import parse_gate  # noqa: PLC0415
    from lossbench.console import screen  # noqa: PLC0415
    from lossbench.console.comparison import comparison_table  # noqa: PLC0415

    gate = parse_gate(fail_if) if fail_if else None
    comparison = api.compare(run_a, run_b)
    if json:
        screen.show_json(comparison)
    else:
        screen.show(comparison_table(comparison, ascii_only=screen.ascii_only()))
    if html:
        from lossbench.report import write_comparison  # noqa: PLC0415 - matplotlib only if asked

        screen.tell(f"wrote {write_comparison(comparison, html)}")
    if gate and (reason := gate.tripped(comparison)):
        raise GateTrippedError(reason)


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


def export(
    run: Annotated[str, typer.Argument(help="A run id, a unique prefix, or a selection of one.")],
    path: Annotated[Path, typer.Argument(help="The file to write, such as model.keras.")],
) -> None:
    """Write a trained run as a Keras model: encoder, decoder and a VAE compiled with its loss.

    The run must have been trained with `sweep --save-weights`. The file loads with
    `keras.models.load_model`, without lossbench.

    Example: `lossbench export docs-bce-beta1-d64-k2-seed0 model.keras`
    """
    from lossbench import trained, worker  # noqa: PLC0415
    from lossbench.console.screen import show_path, tell  # noqa: PLC0415

    _check_path(path)
    kept = trained.kept(run)
    worker.export(kept.run, kept.weights, path)
    if kept.run.is_bounded:
        tell("not compiled: no loss of Keras has a floor or a capacity under its KL")
    show_path(path)


def _check_path(path: Path) -> None:
    if path.suffix != _SUFFIX:
        raise UsageError(
            "a Keras model is a .keras file",
            where=str(path),
            expected="a name such as model.keras",
            received=path.name,
        )
    if path.exists():
        received = "a file that exists"
    elif not path.parent.is_dir():
        received = "no such folder"
    elif not os.access(path.parent, os.W_OK):
        received = "a folder that cannot be written into"
    else:
        return
    raise UsageError(
        "the model cannot be written there",
        where=str(path),
        expected="a new file in a folder that exists and can be written into",
        received=received,
        remedy="choose another name",
    )
