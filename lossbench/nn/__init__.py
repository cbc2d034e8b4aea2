"""Stacked VAEs: the only rooms that import TensorFlow and Keras.

Importing this package sets TensorFlow up: quiet, Keras on top of it, and one thread, which is
faster than several for these sizes and makes a result independent of the number of cores. Where
TensorFlow has run before, it keeps its threads.
"""

import os
import sys
from contextlib import suppress

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Keras imports these where they are installed, for what lossbench never asks of it: a third of
# the time that a worker takes to start. What is None in `sys.modules` cannot be imported.
_UNUSED = [name for name in ("matplotlib", "pandas", "sklearn") if name not in sys.modules]
for _name in _UNUSED:
    sys.modules[_name] = None  # type: ignore[assignment]
try:
    import tensorflow as tf
finally:
    for _name in _UNUSED:
        del sys.modules[_name]

with suppress(RuntimeError):
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
