"""``lossbench sweep``: train the grid, or what is missing of it, and show the summary."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossbench.cli.interrupts import Interrupted, raise_swallowed, undisguised
from lossbench.errors import RunsFailedError, UsageError

if TYPE_CHECKING:
    from lossbench.sweeping import Event

_GRID = "Grid (lists take commas)"
_MODEL = "Model and training"
_EXECUTION = "Execution"
_MOST_SHOWN = 5


def sweep(
    experiment: Annotated[
        Path | None, typer.Argument(help="A TOML file; without it, the default on digits.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="digits, patches, mnist, fashion_mnist or a path.", rich_help_panel=_GRID
        ),
    ] = None,
    loss: Annotated[
        str | None, typer.Option(help="Loss conventions, such as blog,docs.", rich_help_panel=_GRID)
    ] = None,
    reconstruction_loss: Annotated[
        str | None, typer.Option(help="bce, mse or bce,mse.", rich_help_panel=_GRID)
    ] = None,
    beta: Annotated[
        str | None,
        typer.Option(help="Weights on the KL term, such as 0.1,1,4.", rich_help_panel=_GRID),
    ] = None,
    beta_eff: Annotated[
        str | None,
        typer.Option(help="In place of beta: the same b/a for every loss.", rich_help_panel=_GRID),
    ] = None,
    d: Annotated[str | None, typer.Option(help="Input dimensions.", rich_help_panel=_GRID)] = None,
    k: Annotated[str | None, typer.Option(help="Latent dimensions.", rich_help_panel=_GRID)] = None,
    seeds: Annotated[
        str | None, typer.Option(help="A count, or the seeds: 0,5,7.", rich_help_panel=_GRID)
    ] = None,
    hidden: Annotated[
        str | None,
        typer.Option(help="Layers of the encoder: 64, 64x64 or linear.", rich_help_panel=_MODEL),
    ] = None,
    noise_std: Annotated[
        str | None, typer.Option(help="Factor on the sampling noise.", rich_help_panel=_MODEL)
    ] = None,
    epochs: Annotated[
        str | None, typer.Option(help="Training epochs.", rich_help_panel=_MODEL)
    ] = None,
    batch_size: Annotated[
        str | None, typer.Option(help="Images a step.", rich_help_panel=_MODEL)
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="adam, adamw, rmsprop or sgd.", rich_help_panel=_MODEL)
    ] = None,
    learning_rate: Annotated[
        str | None, typer.Option(help="Learning rate.", rich_help_panel=_MODEL)
    ] = None,
    learning_rate_decay: Annotated[
        str | None,
        typer.Option(help="Fraction of it left in the last epoch.", rich_help_panel=_MODEL),
    ] = None,
    epsilon: Annotated[
        str | None,
        typer.Option(help="Epsilon of adam, adamw and rmsprop.", rich_help_panel=_MODEL),
    ] = None,
    eval_every: Annotated[
        str | None,
        typer.Option(help="Epochs between two rows of the history.", rich_help_panel=_MODEL),
    ] = None,
    iwae_samples: Annotated[
        str | None,
        typer.Option(
            help="Samples of the importance-weighted bound.", rich_help_panel=_MODEL, metavar="N"
        ),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(help="Seconds a run; a stack of w has w times that.", rich_help_panel=_MODEL),
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

    options = {
        "dataset": dataset,
        "loss": loss,
        "reconstruction_loss": reconstruction_loss,
        "beta": beta,
        "beta_eff": beta_eff,
        "d": d,
        "k": k,
        "seeds": seeds,
        "hidden": hidden,
        "noise_std": noise_std,
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "learning_rate_decay": learning_rate_decay,
        "epsilon": epsilon,
        "eval_every": eval_every,
        "iwae_samples": iwae_samples,
        "time_limit": time_limit,
    }
    overrides = {name: text for name, text in options.items() if text is not None}
    asked = experiments.read(experiment, overrides)
    folder = out or Path("results") / asked.name
    address = _scheduler_address(scheduler, scheduler_file)
    plan = sweeps.plan(
        asked, folder, data_dir, retry_failed=retry_failed, save_weights=save_weights
    )
    if dry_run:
        progress.show_plan(plan, plan.missing(plan.store.statuses(set_aside=False)))
        return
    try:
        with undisguised(), closing(progress.Display(plan)) as display:

            def show(event: "Event") -> None:
                display(event)
                raise_swallowed()

            swept = sweeps.sweep(plan, n_workers=workers, scheduler=address, progress=show)
    except Interrupted:
        screen.tell("finished runs are kept; the same command goes on from here")
        raise
    progress.show_results(plan.store, as_json=json)
    if report:
        from lossbench.report import write_report  # noqa: PLC0415 - matplotlib only if asked

        for path in write_report([folder]):
            screen.tell(f"wrote {path}")
    if failed := swept.failed:
        first = [f"{run_id} ({status})" for run_id, status in failed.items()][:_MOST_SHOWN]
        raise RunsFailedError(
            f"{len(failed)} of {len(plan.runs)} runs failed; every other one is kept",
            where=str(folder),
            received=screen.joined(first),
            remedy="the same command tries again what crashed; --retry-failed also what is `nan`",
        )


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
