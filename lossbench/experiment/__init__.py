"""Experiments: TOML and overrides in, frozen and checked settings, grid and stacks out."""

from lossbench.experiment.files import TEMPLATE, read, text_of
from lossbench.experiment.grid import Experiment, Grid, extended
from lossbench.experiment.stacks import Device, Stack, stacks

__all__ = [
    "TEMPLATE",
    "Device",
    "Experiment",
    "Grid",
    "Stack",
    "extended",
    "read",
    "stacks",
    "text_of",
]
