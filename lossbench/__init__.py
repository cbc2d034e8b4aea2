"""lossbench settles which VAE loss you really train."""

__version__ = "0.1.0"
