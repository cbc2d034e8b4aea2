"""``lossbench compare``: two runs, or two selections paired by seed."""

from typing import Annotated

import typer


def compare(
    run_a: Annotated[str, typer.Argument(help="A run id, a unique prefix of one, or a selection.")],
    run_b: Annotated[str, typer.Argument(help="What to compare it with.")],
    fail_if: Annotated[
        str | None,
        typer.Option(help="Exit with 4 if this holds of B minus A, e.g. 'elbo < -0.5'."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two runs, or two selections paired by seed: the algebra first, then the numbers.

    A selection is columns of runs.csv: `loss=blog,beta=1`, or `results/digits:loss=blog,beta=1`
    with its folder. Every difference is B minus A.

    Example: `lossbench compare loss=docs,beta=1,d=64,k=2 loss=blog,beta=1,d=64,k=2`
    """
