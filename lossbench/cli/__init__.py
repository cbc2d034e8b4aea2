"""The commands: parse, one call, print. A heavy room loads only in the command that needs it."""

from lossbench.cli.app import main

__all__ = ["main"]
