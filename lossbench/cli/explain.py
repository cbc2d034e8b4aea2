"""``lossbench explain``: the algebra of a loss, without any training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossbench.errors import UsageError
from lossbench.loss import ReconstructionLoss

if TYPE_CHECKING:
    from lossbench.loss import Entry, Sizes

_SIZES = "Sizes"


def explain(
    loss: Annotated[
        str | None, typer.Argument(help="A loss; without it, all of them are listed.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Give the equal setting in this loss or likelihood."),
    ] = None,
    reconstruction_loss: Annotated[
        ReconstructionLoss | None, typer.Option(help="Kind of reconstruction [the loss's own].")
    ] = None,
    sigma: Annotated[
        float | None, typer.Option(help="Standard deviation of gaussian, scale of laplace.")
    ] = None,
    data_range: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="What the data reach [0,1].")
    ] = None,
    to_data_range: Annotated[
        str | None,
        typer.Option(metavar="LOW,HIGH", help="Give the equal setting on data that reach this."),
    ] = None,
    lineage: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="beta_eff by date in one code base, such as keras."),
    ] = None,
    d: Annotated[
        int | None, typer.Option(help="Input dimension [784].", rich_help_panel=_SIZES)
    ] = None,
    k: Annotated[
        int | None, typer.Option(help="Latent dimension [2].", rich_help_panel=_SIZES)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images a step, B [128].", rich_help_panel=_SIZES)
    ] = None,
    n_images: Annotated[
        int | None, typer.Option(help="Training images, N [60000].", rich_help_panel=_SIZES)
    ] = None,
    beta: Annotated[
        float, typer.Option(help="Weight on the KL term.", rich_help_panel=_SIZES)
    ] = 1.0,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data whose sizes are taken, and where the loss of a model that learns nothing is "
            "told."
        ),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder with IDX files of MNIST.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Derive what a loss trains: its a, b and beta_eff, what it means and how to convert it.

    Without LOSS every known convention is listed, with what surprises in it.

    Examples: `lossbench explain blog --d 784 --k 2`, `lossbench explain blog --to docs`,
    `lossbench explain docs --to gaussian --sigma 0.1`, `lossbench explain --lineage keras`
    """
    from lossbench import explanation as algebra  # noqa: PLC0415
    from lossbench.console import explanation, screen  # noqa: PLC0415
    from lossbench.loss import Sizes  # noqa: PLC0415

    _check_together(
        *(loss, to, lineage, reconstruction_loss),
        {"--sigma": sigma, "--data-range": data_range, "--to-data-range": to_data_range},
    )
    weight = algebra.read_weight(beta)
    asked = algebra.checked(Sizes(d, k, batch_size, n_images))
    of_data = Sizes() if dataset is None else algebra.sizes_of(dataset, data_dir)
    sizes = algebra.completed(asked, of_data, algebra.DEFAULT_SIZES)
    width = screen.out().width
    if lineage is not None:
        rows = algebra.lineage(lineage, asked, weight)
        shown = explanation.lineage_of(rows, width, ascii_only=screen.out().options.ascii_only)
        facts: object = {"lineage": lineage, "losses": rows}
    elif loss is None:
        rows = algebra.listing(sizes, weight)
        shown = explanation.catalogue_of(rows, width)
        facts = {"losses": rows}
    elif to is not None or to_data_range is not None:
        same = algebra.equivalent(
            *(_found(loss, sizes), weight, to, sizes),
            reconstruction_loss=reconstruction_loss,
            sigma=sigma,
            data_range=_read_range(data_range, "--data-range"),
            to_data_range=_read_range(to_data_range, "--to-data-range"),
        )
        shown, facts = explanation.equivalent_of(same), same
    else:
        derived = algebra.derivation(
            *(_found(loss, sizes), sizes, weight, reconstruction_loss, dataset, data_dir)
        )
        shown, facts = explanation.derivation_of(derived), derived
    if json:
        screen.show_json(facts)
    else:
        screen.show(shown)


def _found(loss: str, sizes: "Sizes") -> "str | Entry":
    """Return the name of a convention, or a loss of the user's own, audited."""
    from lossbench.loss import is_own  # noqa: PLC0415

    if not is_own(loss):
        return loss
    from lossbench import proving  # noqa: PLC0415

    return proving.entry(loss, sizes)


def _read_range(text: str | None, option: str) -> tuple[float, float] | None:
    """Return the two numbers of an option; ``UsageError`` if they are none."""
    if text is None:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise UsageError(
            "this is no range of data",
            where=option,
            expected="two numbers, such as -1,1",
            received=text,
        ) from None
    return low, high


def _check_together(
    loss: str | None,
    to: str | None,
    lineage: str | None,
    reconstruction_loss: str | None,
    converting: dict[str, float | str | None],
) -> None:
    """Refuse options that say nothing together."""
    if loss is not None and lineage is not None:
        raise UsageError(
            "a loss and --lineage are two questions",
            expected="one of the two",
            received=f"{loss} --lineage {lineage}",
        )
    lonely = {"--to": to, "--reconstruction-loss": reconstruction_loss} | converting
    for option, given in lonely.items():
        if given is not None and loss is None:
            raise UsageError(
                f"{option} needs a loss",
                expected=f"lossbench explain LOSS {option} {given}",
                remedy=f"lossbench explain blog {option} {given}",
            )
    if to is None and converting["--to-data-range"] is None:
        for option, given in converting.items():
            if given is not None:
                raise UsageError(
                    f"{option} is for an equal setting elsewhere",
                    expected="--to or --to-data-range beside it",
                    received=f"{option} {given}",
                    remedy="--to gaussian, or --to mse",
                )
