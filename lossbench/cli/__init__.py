"""The commands: parse, one call, print. A heavy room loads only in the command that needs it."""

import sys

from lossbench.cli.interrupts import Interrupted, interruptible

__all__ = ["main"]


def main() -> None:
    """Run the program and exit with the code that the design gives the outcome."""
    try:
        with interruptible():
            from lossbench.cli import app  # noqa: PLC0415 - a signal may come while it loads

            app.run()
    except Interrupted as stop:
        sys.exit(stop.exit_code)
