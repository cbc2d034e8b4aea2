"""Every way but lossbench's own: as it is usually run, and at its best on the same cores."""

import os
from pathlib import Path

from bench.size import Size
from bench.team import Variant

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_ONE_XLA_THREAD = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}

_PRODUCTS = tuple(
    {"library": library, "n": n} for library in ("numpy", "torch") for n in (2048, 4096)
)


def variants(size: Size, jax: Path) -> tuple[Variant, ...]:
    """Return what is timed at one size; ``jax`` is the folder that JAX is installed in."""
    path = os.pathsep.join(filter(None, (str(jax), os.environ.get("PYTHONPATH"))))
    with_jax = {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    widths = tuple({"width": width, "host_random": True} for width in size.widths)
    whole_epochs = tuple(
        {"one_thread": True, "steps_per_execution": size.n_steps, "jit_compile": jit_compile}
        for jit_compile in (True, False)
    )
    return (
        Variant("keras-fit", "usual", "keras_fit", ({},)),
        Variant("keras-fit", "best", "keras_fit", whole_epochs, True, _ONE_THREAD),
        Variant("pytorch-loop", "usual", "pytorch_loop", ({},)),
        Variant(
            *("pytorch-loop", "best", "pytorch_loop"),
            settings=({"one_thread": True, "fused": True},),
            one_a_core=True,
            environment=_ONE_THREAD,
        ),
        Variant("jax-vmap", "usual", "jax_vmap", ({"width": size.usual_width},), False, with_jax),
        Variant(
            *("jax-vmap", "best", "jax_vmap"),
            settings=widths,
            one_a_core=True,
            environment=with_jax | _ONE_XLA_THREAD,
        ),
        Variant("matmul", "best", "matmul", _PRODUCTS),
    )
