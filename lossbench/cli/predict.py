"""``lossbench predict``: thresholds, critical latent sizes, active units, before any training."""

from pathlib import Path
from typing import Annotated

import typer


def predict(
    experiment: Annotated[
        Path | None, typer.Argument(help="A TOML file; without it, the default on digits.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Data in place of the file's.")] = None,
    loss: Annotated[str | None, typer.Option(help="Loss conventions.")] = None,
    reconstruction_loss: Annotated[str | None, typer.Option(help="bce, mse or bce,mse.")] = None,
    beta: Annotated[str | None, typer.Option(help="Weights on the KL term.")] = None,
    beta_eff: Annotated[str | None, typer.Option(help="In place of beta.")] = None,
    d: Annotated[str | None, typer.Option(help="Input dimensions.")] = None,
    k: Annotated[str | None, typer.Option(help="Latent dimensions.")] = None,
    hidden: Annotated[str | None, typer.Option(help="Layers; `linear` has a closed form.")] = None,
    noise_std: Annotated[str | None, typer.Option(help="Factor on the sampling noise.")] = None,
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
    from lossbench.console.prediction import prediction_tables  # noqa: PLC0415

    options = {
        "dataset": dataset,
        "loss": loss,
        "reconstruction_loss": reconstruction_loss,
        "beta": beta,
        "beta_eff": beta_eff,
        "d": d,
        "k": k,
        "hidden": hidden,
        "noise_std": noise_std,
    }
    overrides = {name: text for name, text in options.items() if text is not None}
    asked = experiments.read(experiment, overrides)
    prediction = predictions.predict(asked, data_dir)
    if json:
        screen.show_json(prediction)
    else:
        screen.show(prediction_tables(prediction, screen.out()))
