"""Experiments: TOML and overrides in, frozen and checked settings, grid and stacks out."""

from lossbench.experiment.files import TEMPLATE, read, text_of
from lossbench.experiment.grid import Experiment, Grid, extended
from lossbench.experiment.own_loss import OwnLoss, Proof, is_own, read_own, told
from lossbench.experiment.stacks import Device, Stack, bytes_of, largest_batch, stacks

__all__ = [
    "TEMPLATE",
    "Device",
    "Experiment",
    "Grid",
    "OwnLoss",
    "Proof",
    "Stack",
    "bytes_of",
    "extended",
    "is_own",
    "largest_batch",
    "read",
    "read_own",
    "stacks",
    "text_of",
    "told",
]
