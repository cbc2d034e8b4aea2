"""``lossbench compare``: two runs, or two selections paired by seed."""

from pathlib import Path
from typing import Annotated

import typer

from lossbench.errors import GateTrippedError


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
    from lossbench import comparison as comparisons  # noqa: PLC0415
    from lossbench.console import screen  # noqa: PLC0415
    from lossbench.console.comparison import comparison_table  # noqa: PLC0415

    gate = comparisons.parse_gate(fail_if) if fail_if else None
    a, b = comparisons.select(run_a), comparisons.select(run_b)
    comparison = comparisons.compare(a, b)
    curves = comparisons.elbo_curves(comparison, a, b)
    if json:
        screen.show_json(comparison)
    else:
        screen.show(comparison_table(comparison, curves, ascii_only=screen.ascii_only()))
    if html:
        from lossbench.report import write_comparison  # noqa: PLC0415 - matplotlib only if asked

        screen.tell(f"wrote {write_comparison(comparison, curves, html)}")
    if gate and (reason := gate.tripped(comparison)):
        raise GateTrippedError(reason)
