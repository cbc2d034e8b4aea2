"""Tables in, figures and one self-contained page out; nothing is trained, nothing is fetched."""

from lossbench.report.page import write_comparison, write_report

__all__ = ["write_comparison", "write_report"]
