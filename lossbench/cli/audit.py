"""``lossbench audit``: which objective your own loss function trains."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossbench.errors import UsageError
from lossbench.words import counted

if TYPE_CHECKING:
    from lossbench.auditing import Audit, Baseline, Options, Target

_SIZES = "Sizes"
_CALLED = "How it is called"
_GATES = "Gates"


def audit(
    target: Annotated[
        str,
        typer.Argument(metavar="FILE.py:NAME|FILE.py|FOLDER", help="Your loss, or all of them."),
    ],
    d: Annotated[int | None, typer.Option(help="Input dimension.", rich_help_panel=_SIZES)] = None,
    k: Annotated[int | None, typer.Option(help="Latent dimension.", rich_help_panel=_SIZES)] = None,
    shape: Annotated[
        str | None,
        typer.Option(help="Images as H,W,C in place of flat ones.", rich_help_panel=_SIZES),
    ] = None,
    latent_shape: Annotated[
        str | None,
        typer.Option(help="Latents as 4,8,8 in place of flat ones.", rich_help_panel=_SIZES),
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
            help="Values of further arguments: numbers, true, false, none, a formula in d, k, B "
            "and N, or a name of your file.",
            rich_help_panel=_CALLED,
        ),
    ] = None,
    total: Annotated[
        str | None,
        typer.Option(
            metavar="EXPR",
            help="What the total of several outputs is, as out[0] + out[2]*out[1].",
            rich_help_panel=_CALLED,
        ),
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option(help="Seconds for a loss, imports aside.", rich_help_panel=_CALLED),
    ] = 60.0,
    dataset: Annotated[
        str | None, typer.Option(help="Predict the collapse on this data, at d.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, help="The threshold t_1 of your data, if you know it.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder with IDX files of MNIST.")] = None,
    expect_beta_eff: Annotated[
        float | None,
        typer.Option(
            help="Exit with 4 if beta_eff is another by 0.1% or more, or if a finding changes it.",
            rich_help_panel=_GATES,
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit with 4 at any finding.", rich_help_panel=_GATES),
    ] = False,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Exit with 4 if a loss trains something else than this file says; written if it "
            "is missing.",
            rich_help_panel=_GATES,
        ),
    ] = None,
    update_baseline: Annotated[
        bool,
        typer.Option(
            "--update-baseline",
            help="Write into the baseline what is trained now.",
            rich_help_panel=_GATES,
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find out by probing which objective your own loss function trains.

    It is called, in a process of its own, on tensors that are made to measure: TensorFlow, Keras,
    PyTorch, JAX or NumPy. A function, a method (`VAE.loss_function`), a class or an object whose
    calls are the loss, a function of a model and images, or what builds a Keras model. A file or
    a folder is read for everything that looks like the loss of a VAE. Nothing is trained.

    Examples: `lossbench audit my_vae.py:vae_loss --d 784 --k 2`;

    of a method, `lossbench audit my_vae.py:VAE.loss_function --d 784 --k 20 --set kld_weight=B/N`;

    in a test, `lossbench audit my_vae.py:vae_loss --d 784 --k 2 --set beta=4 --expect-beta-eff 4`;

    of a folder, `lossbench audit src --baseline lossbench-audit.json`.
    """
    from lossbench import auditing as audits  # noqa: PLC0415

    where = audits.read_target(target)
    options = audits.read_options(
        *(where, d, k, batch_size, n_images, shape, latent_shape),
        *(args or (), settings or (), total, time_limit),
    )
    if update_baseline and baseline is None:
        raise UsageError("--update-baseline needs the file", remedy="--baseline FILE.json")
    gate = audits.read_baseline(baseline) if baseline else None, update_baseline
    if where.name:
        _one(where, options, (dataset, threshold, data_dir), (expect_beta_eff, strict), gate, json)
        return
    of_one = {
        "--expect-beta-eff": expect_beta_eff,
        "--strict": strict or None,
        "--dataset": dataset,
        "--threshold": threshold,
    }
    for option, value in of_one.items():
        if value is not None:
            raise UsageError(
                "this option belongs to one loss",
                where=option,
                expected="FILE.py:NAME",
                received=str(where),
                remedy=f"lossbench audit {where} --baseline lossbench-audit.json"
                if option in ("--expect-beta-eff", "--strict")
                else "",
            )
    _every(where, options, gate, json)


def _one(
    where: "Target",
    options: "Options",
    data: tuple[str | None, float | None, Path | None],
    gates: tuple[float | None, bool],
    gate: "tuple[Baseline | None, bool]",
    json: bool,
) -> None:
    """Audit one loss, print what was found, then hold it against what is expected."""
    from lossbench import auditing as audits  # noqa: PLC0415
    from lossbench.console import screen  # noqa: PLC0415
    from lossbench.console.audit import audit_report  # noqa: PLC0415

    found = audits.predicted(audits.audit(where, options, _said), *data)
    if json:
        screen.show_json(found)
    else:
        screen.show(audit_report(found))
    _hold({str(where): found}, where, options, gate)
    expected, strict = gates
    audits.check(found, expected, strict=strict)


def _every(
    where: "Target", options: "Options", gate: "tuple[Baseline | None, bool]", json: bool
) -> None:
    """Audit every loss in a file or a folder, print a table, then hold it against a baseline."""
    from lossbench import auditing as audits  # noqa: PLC0415
    from lossbench.console import screen  # noqa: PLC0415
    from lossbench.console.audit import listing_facts, listing_report  # noqa: PLC0415

    with screen.messages().status("") as waiting:  # seen on a terminal alone
        listed, unread = audits.listing(where.path, options, waiting.update)
    if json:
        screen.show_json(listing_facts(listed, unread))
    else:
        screen.show(listing_report(listed, unread, options))
    found = {str(each.candidate.target): each.audit or each.reason for each in listed}
    _hold(found, where, options, gate)


def _hold(
    found: "dict[str, Audit | str]",
    where: "Target",
    options: "Options",
    gate: "tuple[Baseline | None, bool]",
) -> None:
    """Hold what was found against the baseline, if one is asked for, and tell what is new."""
    from lossbench import auditing as audits  # noqa: PLC0415
    from lossbench.console import screen  # noqa: PLC0415

    before, update = gate
    if before is None:
        return
    path = before.path
    held = audits.hold(found, before, where, options, update=update)
    if held.n_written is not None:
        losses = counted(held.n_written, "loss")
        screen.tell(f"{path} written, with what was found of {losses}: commit it")
    for target in held.new:
        screen.tell(f"new: {target} is not in {path} yet; --update-baseline adds it")
    for target in held.gone:
        screen.tell(f"gone: {target} is in {path} alone; --update-baseline drops it")


def _said(text: str) -> None:
    """Tell somebody who waits at a terminal what takes long."""
    from lossbench.console import screen  # noqa: PLC0415

    if screen.messages().is_terminal:
        screen.tell(text, style="dim")
