"""The plan before a sweep and its progress: a live bar on a terminal, plain lines elsewhere."""

from collections.abc import Sequence

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lossbench.console.screen import (
    messages,
    tell,
    tell_command,
)
from lossbench.console.summary import show_summary
from lossbench.experiment import stacks
from lossbench.run import Record
from lossbench.settings import RunSettings
from lossbench.store import TABLES, Summary
from lossbench.sweeping import Begun, Event, Held, Plan
from lossbench.words import counted, joined, setting

_MOST_VALUES = 8


def show_plan(plan: Plan, missing: Sequence[RunSettings]) -> None:
    """Tell how many runs there are, how many are done, in how many stacks, and what varies."""
    n_runs, n_stacks = len(plan.runs), len(stacks(missing))
    to_train = f", {len(missing):,} to train in {counted(n_stacks, 'stack')}" if missing else ""
    done = f"{counted(n_runs, 'run')}, {n_runs - len(missing):,} done{to_train}"
    tell(f"{plan.experiment.name}: {done}", style="bold")
    for name, values in plan.experiment.varying().items():
        shown = [setting(value) for value in values[:_MOST_VALUES]]
        rest = [f"{len(values) - _MOST_VALUES} more"] if len(values) > _MOST_VALUES else []
        tell(f"  {name}: {joined([*shown, *rest])}")
    for schedule in plan.experiment.schedules_told(plan.runs):
        tell(f"  w of {schedule}")
    for form in plan.experiment.forms_told(plan.runs):
        tell(f"  {form}")
    for sentence in plan.experiment.own_files_told():
        tell(f"  {sentence}")


class Display:
    """Shows a sweep as it goes on: its plan, then a bar on a terminal, elsewhere a line a run.

    It is called with every event. ``close`` takes the bar away and tells why the first failed
    run failed.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._bar: Progress | None = None
        self._standing = Standing()
        self._n_missing = 0
        self._n_done = 0
        self._failed: Record | None = None

    def __call__(self, event: Event) -> None:
        """Show what happened."""
        match event:
            case Held(holder):
                tell(f"waiting: the results folder is in use by {holder or 'another process'}")
            case Begun(missing):
                show_plan(self._plan, missing)
                self._n_missing = len(missing)
                if missing and messages().is_terminal and not messages().is_dumb_terminal:
                    self._bar = _started_bar(len(missing))
            case Record():
                self._show_record(event)

    def _show_record(self, record: Record) -> None:
        self._n_done += 1
        if record.status != "ok":
            self._failed = self._failed or record
        if self._bar:
            (task,) = self._bar.task_ids
            self._bar.update(task, advance=1, counts=self._standing.after(record))
        else:
            tell(f"[{self._n_done}/{self._n_missing}] {_line(record)}")

    def close(self) -> None:
        """Take the bar away; tell the last log lines of the first run that failed."""
        if self._bar:
            self._bar.stop()
        if self._failed:
            tell(f"{self._failed.run_id} {self._failed.status}", style="bold red")
            if self._failed.message:
                tell(self._failed.message, style="dim")


def _started_bar(n_runs: int) -> Progress:
    bar = Progress(
        TextColumn("training"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[counts]}"),
        console=messages(),
        transient=True,
        expand=True,
    )
    bar.add_task("training", total=n_runs, counts="")
    bar.start()
    return bar


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


def show_results(found: Summary, *, as_json: bool) -> None:
    """Show a finished sweep's summary, name the files that it wrote and what to try next."""
    show_summary(found, as_json=as_json)
    tell(f"\nwrote {joined([found.folder / name for name in TABLES])}")
    tell_command("next", _next_command(found))


def _next_command(found: Summary) -> str:
    """Return a comparison worth trying: two losses, at the beta nearest to 1 and the largest d."""
    summary = found.settings
    losses = list(dict.fromkeys(summary["loss"]))
    if len(losses) < 2:
        return f"lossbench show {found.folder}"
    least = (summary["beta"] - 1).abs().min()
    chosen = summary[(summary["beta"] - 1).abs() == least].sort_values("d").iloc[-1]
    varying = [name for name in ("reconstruction_loss", "d", "k") if summary[name].nunique() > 1]
    where = "".join(f",{name}={chosen[name]}" for name in varying)
    selections = [
        f"{found.folder}:loss={loss},beta={setting(chosen['beta'])}{where}" for loss in losses[:2]
    ]
    return f"lossbench compare {' '.join(selections)}"
