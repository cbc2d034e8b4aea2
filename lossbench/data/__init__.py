"""A dataset's name or path in; checked float32 arrays in [0, 1] out, at the asked-for d, hashed.

``dataset`` is the door; ``sources`` holds the images that scikit-learn carries, ``mnist`` finds or
downloads files, ``files``, ``tables`` and ``folders`` read them, ``images`` checks, scales and
averages what was read. ``fitting`` tells which likelihoods data can have.
"""

from lossbench.data.dataset import BUILT_IN, Dataset, load, load_or_as_it_is, native_sizes
from lossbench.data.files import read_named
from lossbench.data.fitting import fitting, refuse_misfit
from lossbench.data.folders import reading_told

__all__ = [
    "BUILT_IN",
    "Dataset",
    "fitting",
    "load",
    "load_or_as_it_is",
    "native_sizes",
    "read_named",
    "reading_told",
    "refuse_misfit",
]
