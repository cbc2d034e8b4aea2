"""``lossbench measure``: what anybody's trained VAE does, from the arrays that it gave."""

from pathlib import Path
from typing import Annotated

import typer

from lossbench.loss import ReconstructionLoss, likelihood

_NEEDED = ("x", "x_hat", "z_mean", "z_log_var")


def measure(
    file: Annotated[Path, typer.Argument(help="An .npz file with x, x_hat, z_mean and z_log_var.")],
    reconstruction_loss: Annotated[
        ReconstructionLoss, typer.Option(help="What the model was trained with.")
    ],
    beta_eff: Annotated[
        float | None, typer.Option(help="The weight of the KL that it was trained at, b/a.")
    ] = None,
    sigma: Annotated[
        float | None, typer.Option(help="That of gaussian and laplace; or an array in the file.")
    ] = None,
    dispersion: Annotated[float | None, typer.Option(help="r of negative_binomial.")] = None,
    groups: Annotated[
        str | None, typer.Option(help="The columns of each group of categorical and mixed.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a trained VAE of any library: what each latent carries, and whether it collapsed.

    The file holds n examples `x`, what the model makes of them from a sampled z, `x_hat`, and the
    mean and log variance of their latents; `x_hat_at_mean` may be there, too, and `sigma`, a
    learned one: a number, or one for each input, example or value. Save it with
    `numpy.savez("mine.npz", x=x, x_hat=x_hat, z_mean=z_mean, z_log_var=z_log_var)`.

    Example: `lossbench measure mine.npz --reconstruction-loss bce --beta-eff 1`
    """
    from lossbench import data, measurement  # noqa: PLC0415
    from lossbench.console import screen  # noqa: PLC0415
    from lossbench.console.measurement import measurement_tables  # noqa: PLC0415

    has_sigma = "sigma" in likelihood(reconstruction_loss).parameters
    also = ("x_hat_at_mean", *(("sigma",) if has_sigma else ()))
    arrays = data.read_named(file, _NEEDED, also=also)
    given = {} if sigma is None else {"sigma": sigma}
    measured = measurement.measure(
        **arrays | given,
        reconstruction_loss=reconstruction_loss,
        beta_eff=beta_eff,
        dispersion=dispersion,
        groups=groups,
    )
    if json:
        screen.show_json(measured)
    else:
        screen.show(measurement_tables(measured))
