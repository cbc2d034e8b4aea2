"""``lossbench recommend``: the weight on the KL that has a goal, in the conventions asked for."""

from pathlib import Path
from typing import Annotated

import typer

from lossbench.cli.options import asked_for
from lossbench.errors import UsageError
from lossbench.settings import SETTINGS

_GOAL = "Goal (one of them)"
_MODEL = "Data and model"
_CONFIRM = "Training, with --confirm"
_WORDS = {
    "loss": "Conventions to tell it in [docs].",
    "reconstruction_loss": "Likelihoods, such as bce,mse [bce].",
    "k": "Latent dimensions, or auto: as many as carry something [auto].",
    "hidden": "Layers; `linear` has a closed form.",
    "seeds": "A count, or the seeds: 0,5,7 [1].",
}  # where an option means less, or more, than that of a sweep


@asked_for(
    {
        key.name: typer.Option(
            help=_WORDS.get(key.name, key.option), metavar=key.metavar, rich_help_panel=_MODEL
        )
        for key in SETTINGS
        if key.prediction and key.name not in ("beta", "beta_eff")
    }
    | {
        key.name: typer.Option(
            help=_WORDS.get(key.name, key.option), metavar=key.metavar, rich_help_panel=_CONFIRM
        )
        for key in SETTINGS
        if key.name == "seeds" or (key.section == "training" and not key.prediction)
    }
)
def recommend(
    overrides: dict[str, str],
    experiment: Annotated[
        Path | None, typer.Argument(help="A TOML file; without it, digits.")
    ] = None,
    kl: Annotated[
        float | None,
        typer.Option(metavar="NATS", help="A KL of so many nats.", rich_help_panel=_GOAL),
    ] = None,
    rate_bits: Annotated[
        float | None,
        typer.Option(metavar="BITS", help="The same in bits.", rich_help_panel=_GOAL),
    ] = None,
    active: Annotated[
        int | None,
        typer.Option(metavar="N", help="So many active latents.", rich_help_panel=_GOAL),
    ] = None,
    no_collapse: Annotated[
        bool, typer.Option("--no-collapse", help="Some active latent.", rich_help_panel=_GOAL)
    ] = False,
    margin: Annotated[
        float | None,
        typer.Option(
            help="How many times below t_1 --no-collapse stays [2].", rich_help_panel=_GOAL
        ),
    ] = None,
    confirm: Annotated[
        bool,
        typer.Option("--confirm", help="Train around the guess until the goal is met."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Results folder of --confirm [results/recommend].", rich_help_panel=_CONFIRM
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Worker processes [one a core].", rich_help_panel=_CONFIRM),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder with IDX files of MNIST.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Recommend the weight on the KL for a goal: the number to write, and what follows from it.

    No weight is the best one, so a goal is needed; without one the goals are listed. With
    `--confirm` short runs are trained around the guess, at most three rounds, until the test split
    has the goal within 5%. They are ordinary runs: the same command again trains nothing twice.

    Examples: `lossbench recommend --kl 3 --loss docs,keras-io-2020`, `lossbench recommend
    --dataset mnist --d 784 --active 8 --k auto`, `lossbench recommend --kl 10 --confirm`
    """
    from lossbench import recommendation as recommendations  # noqa: PLC0415
    from lossbench.console import screen  # noqa: PLC0415
    from lossbench.console.description import reading_bar  # noqa: PLC0415
    from lossbench.console.recommendation import recommendation_of  # noqa: PLC0415

    if out is not None and not confirm:
        raise UsageError("a folder is where --confirm trains", where="--out", expected="--confirm")
    wanted = recommendations.goal(kl, rate_bits, active, no_collapse=no_collapse, margin=margin)
    asked, auto_k = recommendations.read(experiment, overrides)
    if asked.has_own_files:
        from lossbench import proving  # noqa: PLC0415

        asked = proving.proved(asked, data_dir, said=screen.tell)
    with reading_bar():
        found = recommendations.recommend(asked, wanted, auto_k=auto_k, data_dir=data_dir)
    if confirm:
        from lossbench import confirmation  # noqa: PLC0415
        from lossbench.cli.sweep import watched  # noqa: PLC0415

        found = confirmation.confirm(
            *(found, asked, out or confirmation.FOLDER, data_dir),
            carry_out=lambda plan: watched(plan, workers),
        )
    if json:
        screen.show_json(found)
    else:
        screen.show(recommendation_of(found))
