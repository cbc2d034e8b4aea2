"""Whole records in, derived tables out; nothing is half-written, no record is deleted."""

from lossbench.store.folder import SUMMARY_TABLE, TABLES, Store, Summary, folders, summary
from lossbench.store.lock import refusals_told
from lossbench.store.records import write_whole
from lossbench.store.rows import RunRows, rows_of
from lossbench.store.summary import half_width
from lossbench.store.thresholds import THRESHOLD_COLUMNS, measured_thresholds

__all__ = [
    "SUMMARY_TABLE",
    "TABLES",
    "THRESHOLD_COLUMNS",
    "RunRows",
    "Store",
    "Summary",
    "folders",
    "half_width",
    "measured_thresholds",
    "refusals_told",
    "rows_of",
    "summary",
    "write_whole",
]
