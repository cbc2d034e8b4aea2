"""The program: its commands, and where every error is told and turned into an exit code."""

import sys
import traceback
from typing import Annotated

import typer

import lossbench
from lossbench.cli import audit, data, explain, init, measure, predict, recommend, results, sweep
from lossbench.cli.interrupts import undisguised
from lossbench.errors import LossbenchError

app = typer.Typer(
    name="lossbench",
    help="Which VAE loss did you really train? Train, compare and predict loss conventions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `lossbench sweep --dry-run`, then `lossbench sweep`.",
)
app.command("init")(init.init)
app.command("data")(data.data)
app.command("explain")(explain.explain)
app.command("predict")(predict.predict)
app.command("recommend")(recommend.recommend)
app.command("sweep")(sweep.sweep)
app.command("show")(results.show)
app.command("compare")(results.compare)
app.command("audit")(audit.audit)
app.command("measure")(measure.measure)
app.command("report")(results.report)
app.command("export")(results.export)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lossbench {lossbench.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


def run() -> None:
    """Run one command; tell its error, and exit with the code that the design gives it."""
    try:
        with undisguised():
            app()
    except LossbenchError as error:
        from lossbench.console.screen import show_error  # noqa: PLC0415 - rich only if needed

        show_error(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away: nobody is left to tell
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        sys.stderr.write("error: this is a bug in lossbench; what was finished is kept.\n")
        sys.exit(1)
