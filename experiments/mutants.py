"""Small faults put into six rooms, one at a time, and whether the tests of the room notice.

Each mutant is made in a copy of the package, so that nothing here changes and an interruption
costs nothing; it is killed if the fast tests of its room fail, or do not end in time. The tests
run in children of this process, which has imported what they need but for lossbench itself.
"""

import argparse
import ast
import csv
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mutations import changes

REPOSITORY = Path(__file__).resolve().parent.parent
TESTS = {  # of each room, by the beginnings of their files' names; the quick ones first
    "theory": ("theory",),
    "loss": ("loss", "catalogue"),
    "comparison": ("compare",),
    "auditing": ("audit_sentences", "audit_kinds", "audit_callee", "audit.", "audit"),
    "store": ("store",),
    "report": ("report",),
}
NOT_OF_A_ROOM = ("test_report_browser.py",)  # opens a browser, which takes seconds
SEEN = ("results", "experiments", "README.md", "Makefile", "pyproject.toml")  # by some test
SEEN += (".pre-commit-hooks.yaml",)
WHOLE = "whole"  # the copy that stays as it is
COLUMNS = ("room", "file", "line", "kind", "mutation", "outcome", "seconds")
WARM = ("hypothesis", "jinja2", "matplotlib.figure", "pandas", "pydantic", "pytest", "rich.console")
WARM += ("rich.table", "scipy.optimize", "scipy.stats", "typer.testing")
PYTEST = ("-x", "-q", "-m", "not slow", "-p", "no:cacheprovider")
PYTEST += ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # of what is loaded already


class Mutant(NamedTuple):
    """The ``number``-th change of one kind in a file; counted afresh, it is the same again."""

    room: str
    file: str
    kind: str
    number: int


def _files(room: str) -> list[Path]:
    package = REPOSITORY / "lossbench"
    return sorted((package / room).glob("*.py")) or [package / f"{room}.py"]


def _tests(copy: Path, room: str) -> list[str]:
    found = [
        str(path.relative_to(copy))
        for start in TESTS[room]
        for path in sorted((copy / "tests").glob(f"test_{start}*py"))
        if path.name not in NOT_OF_A_ROOM
    ]
    doctests = [str(path.relative_to(REPOSITORY)) for path in _files(room)]
    return [*dict.fromkeys(found), *doctests]


def drawn(rooms: list[str], n_mutants: int, seed: int) -> list[Mutant]:
    """Draw mutants, as many in a room as it has lines for; kinds are equally likely."""
    generator = random.Random(seed)  # noqa: S311 - nothing is kept secret
    n_lines = {r: sum(len(p.read_text("utf-8").splitlines()) for p in _files(r)) for r in TESTS}
    found = []
    for room in rooms:
        by_kind: dict[str, list[Mutant]] = {}
        for path in _files(room):
            counts: Counter[str] = Counter()
            for kind, _, _ in changes(ast.parse(path.read_text("utf-8"))):
                file = str(path.relative_to(REPOSITORY))
                by_kind.setdefault(kind, []).append(Mutant(room, file, kind, counts[kind]))
                counts[kind] += 1
        for mutants in by_kind.values():
            generator.shuffle(mutants)
        for _ in range(max(1, round(n_mutants * n_lines[room] / sum(n_lines.values())))):
            kind = generator.choice(sorted(kind for kind, left in by_kind.items() if left))
            found.append(by_kind[kind].pop())
    return found


def mutated(mutant: Mutant, whole: Path) -> tuple[str, int, str]:
    """Return the text of the mutant's file, the line of the change and what it is."""
    tree = ast.parse((whole / mutant.file).read_text("utf-8"))
    of_kind = [(line, change) for kind, line, change in changes(tree) if kind == mutant.kind]
    line, change = of_kind[mutant.number]
    told = change()
    return ast.unparse(ast.fix_missing_locations(tree)), line, told


def _copied(place: Path) -> Path:
    """Return a copy of all that the tests need."""
    ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in ("lossbench", "tests"):
        shutil.copytree(REPOSITORY / name, place / name, ignore=ignored)
    for name in SEEN:
        (place / name).symlink_to(REPOSITORY / name)
    return place


def _tested(copy: Path, room: str, said: Path) -> int:
    """Run the tests of a room on a copy, in a child of this process; return the child's id."""
    if child := os.fork():
        return child
    os.setsid()  # its own children end with it
    os.chdir(copy)
    os.environ |= {"PYTHONPATH": str(copy)}
    if copy.name != WHOLE:  # no mutant leaves its bytes to the next one
        sys.dont_write_bytecode = True
        os.environ |= {"PYTHONDONTWRITEBYTECODE": "1"}
    sys.path[:] = [str(copy), *(path for path in sys.path if Path(path or ".") != REPOSITORY)]
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    code = 1
    try:
        code = int(sys.modules["pytest"].main([*PYTEST, *_tests(copy, room)]))
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _ended(child: int, seconds: float) -> int | None:
    """Return the exit code of a child that has ended; one that takes too long is killed."""
    pid, status = os.waitpid(child, os.WNOHANG)
    if not pid and seconds <= 0:
        os.killpg(child, signal.SIGKILL)
        pid, status = os.waitpid(child, 0)
    if pid:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(status)
    return None


def outcomes(mutants: list[Mutant], n_workers: int, folder: Path) -> Iterator[dict[str, object]]:
    """Yield what became of each mutant, as it ends; first the rooms are tested as they are."""
    whole, said, limits = _copied(folder / WHOLE), folder / "said", {}
    for room in dict.fromkeys(mutant.room for mutant in mutants):
        begun = time.monotonic()
        _, status = os.waitpid(_tested(whole, room, said), 0)
        if status:
            raise SystemExit(f"the tests of {room} fail as it is:\n{said.read_text('utf-8')}")
        limits[room] = 10 + 5 * (time.monotonic() - begun)
    copies = [  # with what was compiled
        shutil.copytree(whole, folder / str(number), symlinks=True) for number in range(n_workers)
    ]
    waiting, running = list(reversed(mutants)), {}
    try:
        while waiting or running:
            while waiting and copies:
                mutant, copy = waiting.pop(), copies.pop()
                text, line, told = mutated(mutant, whole)
                (copy / mutant.file).write_text(text, "utf-8")
                child = _tested(copy, mutant.room, folder / f"said-{copy.name}")
                running[child] = (mutant, copy, line, told, time.monotonic())
            time.sleep(0.02)
            for child, (mutant, copy, line, told, begun) in list(running.items()):
                seconds = time.monotonic() - begun
                code = _ended(child, limits[mutant.room] - seconds)
                if code is None:
                    continue
                del running[child]
                shutil.copy2(whole / mutant.file, copy / mutant.file)
                copies.append(copy)
                facts = (mutant.room, mutant.file, line, mutant.kind, told)
                outcome = "killed" if code else "survived"
                yield dict(zip(COLUMNS, (*facts, outcome, round(seconds, 1)), strict=True))
    finally:
        for child in running:
            _ended(child, 0)


def main() -> None:
    """Draw the mutants, test them, print those that survive, and write all to a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rooms", nargs="*", help=f"of {', '.join(TESTS)}; all unless named")
    parser.add_argument("--mutants", type=int, default=200, help="in all six rooms together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("mutants.csv"))
    asked = parser.parse_args()
    mutants = drawn(asked.rooms or list(TESTS), asked.mutants, asked.seed)
    for name in WARM:
        importlib.import_module(name)
    settings = sys.modules["hypothesis"].settings  # what fails need not be made small
    phases = [phase for phase in sys.modules["hypothesis"].Phase if phase.name != "shrink"]
    settings.register_profile("mutants", derandomize=True, database=None, phases=phases)
    settings.load_profile("mutants")
    counts: Counter[tuple[str, object]] = Counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        asked.out.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in outcomes(mutants, asked.workers, Path(folder)):
            writer.writerow(row)
            file.flush()
            counts[str(row["room"]), row["outcome"]] += 1
            if row["outcome"] == "survived":
                print(f"{row['file']}:{row['line']}: {row['mutation']}", flush=True)
    for room in dict.fromkeys(mutant.room for mutant in mutants):
        n_killed = counts[room, "killed"]
        n = n_killed + counts[room, "survived"]
        print(f"{room:12} {n_killed:3} of {n:3} killed, {n_killed / n:.0%}")


if __name__ == "__main__":
    main()
