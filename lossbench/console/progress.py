"""The plan before a sweep and its progress: a live bar on a terminal, plain lines elsewhere."""

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lossbench.console.screen import (
    joined,
    messages,
    out,
    plain_rows,
    show,
    show_json,
    tell,
    tell_command,
)
from lossbench.console.summary import curves_to_draw, summary_tables
from lossbench.experiment import RunSettings, layers_text, stacks
from lossbench.run import Record
from lossbench.store import TABLES, Store
from lossbench.sweeping import Plan

_MOST_VALUES = 8


def show_plan(plan: Plan, missing: Sequence[RunSettings]) -> None:
    """Tell how many runs there are, how many are done, in how many stacks, and what varies."""
    n_runs, n_stacks = len(plan.runs), len(stacks(missing))
    to_train = f", {len(missing)} to train in {n_stacks} stacks" if missing else ""
    done = f"{n_runs} runs, {n_runs - len(missing)} done{to_train}"
    tell(f"{plan.experiment.name}: {done}", style="bold")
    for name, values in plan.experiment.varying().items():
        shown = [_shown(value) for value in values[:_MOST_VALUES]]
        rest = [f"{len(values) - _MOST_VALUES} more"] if len(values) > _MOST_VALUES else []
        tell(f"  {name}: {joined([*shown, *rest])}")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return layers_text(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def tracked(records: Iterable[Record], n_runs: int) -> Iterator[Record]:
    """Yield the records as they come, and show how far the sweep is."""
    if not messages().is_terminal or messages().is_dumb_terminal:
        for number, record in enumerate(records, start=1):
            tell(f"[{number}/{n_runs}] {_line(record)}")
            yield record
        return
    columns = (
        TextColumn("training"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[counts]}"),
    )
    with Progress(*columns, console=messages(), transient=True, expand=True) as progress:
        task = progress.add_task("training", total=n_runs, counts="")
        standing = Standing()
        for record in records:
            progress.update(task, advance=1, counts=standing.after(record))
            yield record


class Standing:
    """How a sweep stands: collapsed and failed so far, and the best ELBO where the last run is.

    An ELBO is best among the runs of one dataset, d and kind of reconstruction.
    """

    def __init__(self) -> None:
        self._best: dict[tuple[object, ...], float] = {}
        self._n_collapsed = 0
        self._n_failed = 0

    def after(self, record: Record) -> str:
        """Return how the sweep stands once this run has ended, short enough for 80 columns."""
        best = ""
        if record.status == "ok":
            self._n_collapsed += bool(record.metrics["collapsed"])
            names = ("reconstruction_loss", "d", "dataset")
            key = tuple(record.settings[name] for name in names)
            elbo = float(record.metrics["elbo"])
            self._best[key] = max(self._best.get(key, elbo), elbo)
            best = f"best {key[0]} d{key[1]} {self._best[key]:.2f}, "
        self._n_failed += record.status != "ok"
        failed = f", {self._n_failed} failed" if self._n_failed else ""
        return f"{best}{self._n_collapsed} collapsed{failed}"


def _line(record: Record) -> str:
    if record.status != "ok":
        return f"{record.run_id} {record.status}"
    metrics = record.metrics
    collapsed = " collapsed" if metrics["collapsed"] else ""
    return f"{record.run_id} elbo {metrics['elbo']:.2f} kl {metrics['kl']:.3f}{collapsed}"


def tell_holder(holder: str) -> None:
    """Tell who holds the results folder before waiting for them."""
    tell(f"waiting: the results folder is in use by {holder or 'another process'}")


def tell_failure(record: Record) -> None:
    """Tell the last log lines of a failed run."""
    tell(f"{record.run_id} {record.status}", style="bold red")
    if record.message:
        tell(record.message, style="dim")


def show_results(store: Store, *, as_json: bool) -> None:
    """Show a finished sweep's summary, name the files that it wrote and what to try next."""
    summary = store.summary()
    if as_json:
        show_json({"folder": str(store.folder), "settings": plain_rows(summary)})
    else:
        show(summary_tables(summary, curves_to_draw(store, summary), out()))
    tell(f"\nwrote {joined([store.folder / name for name in TABLES])}")
    tell_command("next", _next_command(store, summary))


def _next_command(store: Store, summary: pd.DataFrame) -> str:
    """Return a comparison worth trying: two losses, at the beta nearest to 1 and the largest d."""
    losses = list(dict.fromkeys(summary["loss"]))
    if len(losses) < 2:
        return f"lossbench show {store.folder}"
    nearest = (summary["beta"] - 1).abs().min()
    chosen = summary[(summary["beta"] - 1).abs() == nearest].sort_values("d").iloc[-1]
    varying = [name for name in ("reconstruction_loss", "d", "k") if summary[name].nunique() > 1]
    where = "".join(f",{name}={chosen[name]}" for name in varying)
    selections = [
        f"{store.folder}:loss={loss},beta={chosen['beta']:g}{where}" for loss in losses[:2]
    ]
    return f"lossbench compare {' '.join(selections)}"
