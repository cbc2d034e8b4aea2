"""``lossbench sweep``: train the grid, or what is missing of it, and show the summary."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossbench.cli.interrupts import Interrupted, raise_swallowed, undisguised
from lossbench.cli.options import asked_for
from lossbench.errors import RunsFailedError, UsageError
from lossbench.settings import SETTINGS
from lossbench.words import counted, joined

if TYPE_CHECKING:
    from lossbench.sweeping import Event, Plan, Swept

_GRID = "Grid (lists take commas)"
_MODEL = "Model and training"
_EXECUTION = "Execution"
_PANELS = {"data": _GRID, "sweep": _GRID, "model": _MODEL, "training": _MODEL}
_MOST_SHOWN = 5


@asked_for(
    {
        key.name: typer.Option(
            help=key.option, metavar=key.metavar, rich_help_panel=_PANELS[key.section]
        )
        for key in SETTINGS
        if key.option
    }
)
def sweep(
    overrides: dict[str, str],
    experiment: Annotated[
        Path | None, typer.Argument(help="A TOML file; without it, the default on digits.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Results folder [results/NAME].", rich_help_panel=_EXECUTION),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder with IDX files of MNIST.", rich_help_panel=_EXECUTION),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Worker processes [one a core].", rich_help_panel=_EXECUTION),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a Dask scheduler.", rich_help_panel=_EXECUTION),
    ] = None,
    scheduler_file: Annotated[
        Path | None,
        typer.Option(help="File that a Dask scheduler wrote.", rich_help_panel=_EXECUTION),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option(help="Train `nan` runs again, too.", rich_help_panel=_EXECUTION)
    ] = False,
    save_weights: Annotated[
        bool,
        typer.Option(help="Keep every run's weights for `export`.", rich_help_panel=_EXECUTION),
    ] = False,
    report: Annotated[
        bool,
        typer.Option(help="Write figures and report.html at the end.", rich_help_panel=_EXECUTION),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option(help="Show the plan, train nothing.", rich_help_panel=_EXECUTION)
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_EXECUTION)
    ] = False,
) -> None:
    """Train identical VAEs under every loss of the grid, and tabulate them.

    Only what is missing is trained: the same command again goes on where it stopped. A larger
    grid extends the same results folder.

    Examples: `lossbench sweep` (the seed question on digits), `lossbench sweep
    experiments/mnist.toml`, `lossbench sweep --loss docs --beta 0.1,1,4 --seeds 5`
    """
    from lossbench import experiment as experiments  # noqa: PLC0415
    from lossbench import sweeping as sweeps  # noqa: PLC0415
    from lossbench.console import progress, screen  # noqa: PLC0415
    from lossbench.console.description import reading_bar  # noqa: PLC0415

    asked = experiments.read(experiment, overrides)
    folder = out or Path("results") / asked.name
    address = _scheduler_address(scheduler, scheduler_file)
    with reading_bar():
        plan = sweeps.plan(
            *(asked, folder, data_dir),
            retry_failed=retry_failed,
            save_weights=save_weights,
            said=screen.tell,
        )
    if dry_run:
        progress.show_plan(plan, plan.missing(plan.store.statuses(set_aside=False)))
        return
    swept = watched(plan, workers, address)
    progress.show_results(swept.summary, as_json=json)
    if report:
        from lossbench.report import write_report  # noqa: PLC0415 - matplotlib only if asked

        for path in write_report([folder]):
            screen.tell(f"wrote {path}")
    if failed := swept.failed:
        first = [f"{run_id} ({status})" for run_id, status in failed.items()][:_MOST_SHOWN]
        raise RunsFailedError(
            f"{len(failed)} of {counted(len(plan.runs), 'run')} failed; every other one is kept",
            where=str(folder),
            received=joined(first),
            remedy="the same command tries again what crashed; --retry-failed also what is `nan`",
        )


def watched(plan: "Plan", workers: int | None = None, scheduler: str = "") -> "Swept":
    """Carry out a plan and show how it goes on; an interruption tells what is kept."""
    from lossbench import sweeping  # noqa: PLC0415
    from lossbench.console import progress, screen  # noqa: PLC0415

    try:
        with undisguised(), closing(progress.Display(plan)) as display:

            def show(event: "Event") -> None:
                display(event)
                raise_swallowed()

            return sweeping.sweep(plan, n_workers=workers, scheduler=scheduler, progress=show)
    except Interrupted:
        screen.tell("finished runs are kept; the same command goes on from here")
        raise


def _scheduler_address(scheduler: str | None, scheduler_file: Path | None) -> str:
    """Return the address of the scheduler that is asked for, or an empty string."""
    if scheduler_file is None:
        return scheduler or ""
    from lossbench import engine  # noqa: PLC0415

    if scheduler is not None:
        raise UsageError(
            "--scheduler and --scheduler-file name a scheduler twice", expected="one of the two"
        )
    return engine.address_in(scheduler_file)
