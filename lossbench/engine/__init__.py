"""Stacks in, outcomes as they finish, failures as values. The only room that knows Dask."""

from lossbench.engine.cluster import n_cores, workers
from lossbench.engine.dispatch import Engine

__all__ = ["Engine", "n_cores", "workers"]
