"""A large square matrix product in single precision on every core: what the machine can do."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from bench.size import Size


@contextmanager
def prepared(size: Size, library: str, n: int) -> Iterator[tuple[Callable[[int], None], float]]:
    """Give what multiplies two ``(n, n)`` matrices so many times with ``numpy`` or ``torch``.

    And how many epochs of one model take as many operations as one such product.
    """
    matmul = importlib.import_module(library).matmul
    left, right = np.random.default_rng(0).random((2, n, n), dtype=np.float32)
    product = np.empty_like(left)
    if library == "torch":
        as_tensor = importlib.import_module(library).from_numpy
        left, right, product = map(as_tensor, (left, right, product))

    def multiply(n_products: int) -> None:
        for _ in range(n_products):
            matmul(left, right, out=product)

    yield multiply, 2 * n**3 / size.operations_per_epoch
