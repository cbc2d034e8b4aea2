"""Stacks in, records as they finish, failures as values. The only room that knows Dask."""

from lossbench.engine.cluster import n_cores, workers
from lossbench.engine.dispatch import Engine
from lossbench.engine.remote import address_in, join

__all__ = ["Engine", "address_in", "join", "n_cores", "workers"]
