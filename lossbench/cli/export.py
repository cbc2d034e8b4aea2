"""``lossbench export``: a trained run as an ordinary Keras model."""

import os
from pathlib import Path
from typing import Annotated

import typer

from lossbench.errors import ResultsError, UsageError

_SUFFIX = ".keras"


def export(
    run: Annotated[str, typer.Argument(help="A run id, a unique prefix, or a selection of one.")],
    path: Annotated[Path, typer.Argument(help="The file to write, such as model.keras.")],
) -> None:
    """Write a trained run as a Keras model: encoder, decoder and a VAE compiled with its loss.

    The run must have been trained with `sweep --save-weights`. The file loads with
    `keras.models.load_model`, without lossbench.

    Example: `lossbench export docs-bce-beta1-d64-k2-seed0 model.keras`
    """
    from lossbench import comparison, worker  # noqa: PLC0415
    from lossbench.console.screen import show_path  # noqa: PLC0415
    from lossbench.store import Store  # noqa: PLC0415

    _check_path(path)
    chosen = comparison.select(run)
    ids = [str(run_id) for run_id in chosen["run_id"]]
    if len(ids) > 1:
        raise UsageError(
            f"{len(ids)} runs are selected",
            where=repr(run),
            expected="one run",
            received=", ".join(ids[:3]) + (" and more" if len(ids) > 3 else ""),
            remedy="add columns, as in loss=docs,beta=1,d=64,k=2,seed=0",
        )
    folder = Path(str(chosen["folder"].iloc[0]))
    store = Store(folder)
    weights, frozen = store.weights(ids[0]), store.frozen()
    settings = {known.run_id: known for known in frozen.runs()} if frozen else {}
    if not weights or ids[0] not in settings:
        raise ResultsError(
            "the weights of this run are not there",
            where=str(folder),
            expected=f"runs/{ids[0]}.weights.npz, as `sweep --save-weights` leaves it",
            remedy=f"lossbench sweep {folder}/experiment.toml --out {folder} --save-weights",
        )
    worker.export(settings[ids[0]], weights, path)
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
