"""Experiments: TOML and overrides in, frozen and checked settings, grid and stacks out."""

from lossbench.experiment.files import TEMPLATE, TEMPLATE_NETS, read, text_of
from lossbench.experiment.grid import Experiment, Grid, extended
from lossbench.experiment.own_loss import OwnLoss, Proof, read_own
from lossbench.experiment.own_network import OwnNetwork, read_built, shape_of, with_built
from lossbench.experiment.stacks import Device, Stack, bytes_of, largest_batch, stacks

__all__ = [
    "TEMPLATE",
    "TEMPLATE_NETS",
    "Device",
    "Experiment",
    "Grid",
    "OwnLoss",
    "OwnNetwork",
    "Proof",
    "Stack",
    "bytes_of",
    "extended",
    "largest_batch",
    "read",
    "read_built",
    "read_own",
    "shape_of",
    "stacks",
    "text_of",
    "with_built",
]
