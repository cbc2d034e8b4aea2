"""Experiments: TOML and overrides in, frozen and checked settings, grid and stacks out."""

from lossbench.experiment.files import TEMPLATE, read, text_of
from lossbench.experiment.grid import Experiment, Grid, extended
from lossbench.experiment.stacks import Device, Stack, bytes_of, largest_batch, stacks

__all__ = [
    "TEMPLATE",
    "Device",
    "Experiment",
    "Grid",
    "Stack",
    "bytes_of",
    "extended",
    "largest_batch",
    "read",
    "stacks",
    "text_of",
]
