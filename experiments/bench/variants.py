"""Every way to train: as it is usually run, and at its best on the same cores."""

import os
from pathlib import Path

from bench.size import Size
from bench.team import Variant, cores

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_ONE_XLA_THREAD = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}

_LIBRARIES = ("numpy", "torch", "tensorflow")
_PRODUCTS = tuple({"library": library, "n": 4096} for library in _LIBRARIES)
_PATIENT = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "1 hour"}  # with workers that are stopped


def variants(size: Size, jax: Path) -> tuple[Variant, ...]:
    """Return what is timed at one size; ``jax`` is the folder that JAX is installed in."""
    path = os.pathsep.join(filter(None, (str(jax), os.environ.get("PYTHONPATH"))))
    with_jax = {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    sees_images = len(size.image) > 1
    best = {"host_random": True, "by_products": sees_images}
    widths = tuple({"width": width, **best} for width in size.widths)
    fused = {"one_thread": True, "fused": True}
    whole_epochs = tuple(
        {
            **{"one_thread": True, "tuned": False},
            **{"steps_per_execution": size.n_steps, "jit_compile": jit_compile},
        }
        for jit_compile in (True, False)
    )
    return (
        Variant("keras-fit", "usual", "keras_fit", ({},)),
        Variant("keras-fit", "best", "keras_fit", whole_epochs, True, _ONE_THREAD),
        Variant("pytorch-loop", "usual", "pytorch_loop", ({},)),
        Variant(
            *("pytorch-loop", "best", "pytorch_loop"),
            settings=(fused, fused | {"channels_last": True})[: 1 + sees_images],
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
        *(
            Variant(
                *("lossbench", variant, "workers"),
                settings=({"n_workers": n_workers},),
                environment=_PATIENT,
                n_epochs=size.epochs,
            )
            for variant, n_workers in (("one worker", 1), ("best", len(cores())))
        ),
    )
