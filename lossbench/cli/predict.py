"""``lossbench predict``: thresholds, critical weights, active units, before any training."""

from pathlib import Path
from typing import Annotated

import typer

from lossbench.cli.options import asked_for
from lossbench.settings import SETTINGS

_WORDS = {
    "dataset": "Data in place of the file's.",
    "loss": "Loss conventions.",
    "beta": "Weights on the KL term.",
    "beta_eff": "In place of beta.",
    "hidden": "Layers; `linear` has a closed form.",
}  # where an option means less, or more, than that of a sweep


@asked_for(
    {
        key.name: typer.Option(help=_WORDS.get(key.name, key.option))
        for key in SETTINGS
        if key.prediction
    }
)
def predict(
    overrides: dict[str, str],
    experiment: Annotated[
        Path | None, typer.Argument(help="A TOML file; without it, the default on digits.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder with IDX files of MNIST.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict which settings collapse, from the data alone: no training, no TensorFlow.

    Examples: `lossbench predict --dataset digits --d 64`, `lossbench predict
    experiments/mnist.toml`
    """
    from lossbench import experiment as experiments  # noqa: PLC0415
    from lossbench import prediction as predictions  # noqa: PLC0415
    from lossbench.console import screen  # noqa: PLC0415
    from lossbench.console.description import reading_bar  # noqa: PLC0415
    from lossbench.console.prediction import prediction_tables  # noqa: PLC0415

    asked = experiments.read(experiment, overrides)
    if asked.has_own_files:
        from lossbench import proving  # noqa: PLC0415

        asked = proving.proved(asked, data_dir, said=screen.tell)
        for sentence in asked.own_files_told():
            screen.tell(sentence)
    with reading_bar():
        prediction = predictions.predict(asked, data_dir)
    if json:
        screen.show_json(prediction)
    else:
        screen.show(prediction_tables(prediction, screen.out()))
