"""``lossbench audit``: which objective your own loss function trains."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossbench.errors import GateTrippedError

if TYPE_CHECKING:
    from lossbench.audit import Audit

_SIZES = "Sizes"
_CALLED = "How it is called"
_TOLERANCE = 1e-3


def audit(
    target: Annotated[str, typer.Argument(metavar="FILE.py:FUNCTION", help="Your loss.")],
    d: Annotated[int, typer.Option(help="Input dimension.", rich_help_panel=_SIZES)],
    k: Annotated[int, typer.Option(help="Latent dimension.", rich_help_panel=_SIZES)],
    shape: Annotated[
        str | None,
        typer.Option(help="Images as H,W,C in place of flat ones.", rich_help_panel=_SIZES),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(help="Images a step, B.", rich_help_panel=_SIZES)
    ] = 128,
    n_images: Annotated[
        int, typer.Option(help="Training images, N.", rich_help_panel=_SIZES)
    ] = 60_000,
    args: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=NAME",
            help="Which argument is x, x_hat, z_mean or z_log_var, if its name is unusual.",
            rich_help_panel=_CALLED,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Values of further arguments; a value may be a formula in d, k, B and N.",
            rich_help_panel=_CALLED,
        ),
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option(help="Seconds to load, and for each answer.", rich_help_panel=_CALLED),
    ] = 60.0,
    dataset: Annotated[
        str | None, typer.Option(help="Predict the collapse on this data, at d.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, help="The threshold t_1 of your data, if you know it.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder with IDX files of MNIST.")] = None,
    expect_beta_eff: Annotated[
        float | None, typer.Option(help="Exit with 4 if beta_eff is another, by 0.1% or more.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find out by probing which objective your own loss function trains.

    It is called, in a process of its own, on tensors that are made to measure: TensorFlow, Keras,
    PyTorch or NumPy. A function that takes none of x, x_hat, z_mean and z_log_var is taken for one
    that builds a Keras model. Nothing is trained.

    Examples: `lossbench audit my_vae.py:vae_loss --d 784 --k 2`, `lossbench audit
    my_vae.py:vae_loss --d 784 --k 2 --set beta=4 --expect-beta-eff 4`
    """
    from lossbench import audit as audits  # noqa: PLC0415
    from lossbench.console import screen  # noqa: PLC0415
    from lossbench.console.audit import audit_report  # noqa: PLC0415
    from lossbench.conventions import Sizes  # noqa: PLC0415

    request = audits.read_request(
        target, Sizes(d, k, batch_size, n_images), shape, args or (), settings or (), time_limit
    )
    found = audits.predicted(audits.audit(request), dataset, threshold, data_dir)
    if json:
        screen.show_json(found.to_json())
    else:
        screen.show(audit_report(found))
    if expect_beta_eff is not None:
        _check(found, expect_beta_eff)


def _check(found: "Audit", expected: float) -> None:
    """Trip the gate if beta_eff is not what was expected, rounding and chance aside."""
    value, slack = found.beta_eff.value, 3 * found.beta_eff.error
    if math.isclose(value, expected, rel_tol=_TOLERANCE, abs_tol=slack):
        return
    formula = f" = {found.beta_eff.formula}" if found.beta_eff.formula else ""
    raise GateTrippedError(
        f"{found.name} does not train the objective that is expected",
        where="--expect-beta-eff",
        expected=f"beta_eff = {expected:g}",
        received=f"beta_eff = {value:.6g}{formula}",
        remedy=found.change,
    )
