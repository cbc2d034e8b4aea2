"""Stacks in, records as they finish, failures as values. The only room that knows Dask."""

from lossbench.engine.dispatch import Engine
from lossbench.engine.local import memory, n_cores, workers
from lossbench.engine.policy import Hope
from lossbench.engine.remote import address_in, join

__all__ = ["Engine", "Hope", "address_in", "join", "memory", "n_cores", "workers"]
