"""The house stands: floors, where TensorFlow may load, and what must stay quick to start."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lossbench

HOUSE = Path(lossbench.__file__).parent
FLOORS = (
    ("errors", "commits"),
    ("conventions", "schema"),
    ("experiment",),
    ("data", "store", "theory"),
    ("nn", "compare", "explain", "predict", "audit"),
    ("worker",),
    ("engine",),
    ("sweep",),
    ("console", "report"),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FRAMEWORKS = ("tensorflow", "keras", "torch")
MOST_LINES = 250
DOORS = ("__init__", "__main__")
NN_ORDER = ("layers", "model", "program", "importance", "train", "export")


def modules() -> list[Path]:
    """Return every module of the package."""
    return sorted(HOUSE.rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of everything that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def breaches(source: str, room: str) -> list[str]:
    """Return the imports by which a module of ``room`` reaches its own floor or a higher one."""
    parts = [name.split(".") for name in imported(ast.parse(source))]
    rooms = {name[1] for name in parts if name[0] == "lossbench" and len(name) > 1}
    return sorted(
        other for other in rooms if other != room and other in FLOOR and FLOOR[other] >= FLOOR[room]
    )


def room_of(module: Path) -> str:
    """Return the room that a module belongs to."""
    return module.relative_to(HOUSE).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "module",
    [m for m in modules() if room_of(m) not in DOORS],
    ids=lambda m: str(m.relative_to(HOUSE)),
)
def test_a_room_imports_only_rooms_on_lower_floors(module: Path) -> None:
    """No arrow points up or sideways."""
    assert room_of(module) in FLOOR, "a new room needs a floor"
    assert breaches(module.read_text(encoding="utf-8"), room_of(module)) == []


def test_the_check_of_floors_can_fail() -> None:
    """A theory that prints would be found out."""
    assert breaches("from lossbench.console import screen", "theory") == ["console"]
    assert breaches("import lossbench.store", "theory") == ["store"]


@pytest.mark.parametrize("module", modules(), ids=lambda m: str(m.relative_to(HOUSE)))
def test_tensorflow_and_keras_stay_in_nn(module: Path) -> None:
    """Only nn/ names the frameworks; only the worker names nn/."""
    names = {name.split(".")[0] for name in imported(ast.parse(module.read_text("utf-8")))}
    if room_of(module) != "nn":
        assert names.isdisjoint(FRAMEWORKS)
        reaches_nn = "lossbench.nn" in module.read_text("utf-8")
        assert reaches_nn == (room_of(module) == "worker")


def test_the_rooms_of_nn_stand_on_each_other() -> None:
    """The order is layers < model < program < train, and export."""
    for position, name in enumerate(NN_ORDER):
        source = (HOUSE / "nn" / f"{name}.py").read_text("utf-8")
        above = {f"lossbench.nn.{other}" for other in NN_ORDER[position:]}
        assert not {n.rpartition(".")[0] for n in imported(ast.parse(source))} & above


@pytest.mark.parametrize("module", modules(), ids=lambda m: str(m.relative_to(HOUSE)))
def test_a_room_fits_on_a_few_screens(module: Path) -> None:
    """Past 250 lines a module is split at its seam."""
    assert len(module.read_text("utf-8").splitlines()) <= MOST_LINES


def loaded_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after ``code``."""
    program = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit: pass\n"
        "print('\\nLOADED', *sys.modules, file=sys.stderr)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in answer.stderr.rpartition("LOADED")[2].split()}


COMMANDS = (
    ["--help"],
    ["sweep", "--help"],
    ["sweep", "--dry-run"],
    ["show", "RESULTS"],
    ["compare", "RESULTS:seed=0", "RESULTS:seed=1"],
    ["report", "RESULTS"],
    ["explain"],
    ["explain", "blog", "--d", "784", "--k", "2"],
    ["audit", "BROKEN:vae_loss", "--d", "4", "--k", "2"],
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_only_training_loads_tensorflow(command: list[str], tiny_results: Path) -> None:
    """Whatever trains nothing starts without the frameworks."""
    broken = str(Path(__file__).parent / "audited" / "broken.py")
    places = {"RESULTS": str(tiny_results), "BROKEN": broken}
    arguments = [re.sub("RESULTS|BROKEN", lambda found: places[found[0]], part) for part in command]
    code = f"sys.argv = ['lossbench', *{arguments!r}]; from lossbench.cli import main; main()"
    loaded = loaded_after(code)
    assert "lossbench" in loaded
    assert loaded.isdisjoint(FRAMEWORKS)


def test_the_check_of_what_is_loaded_can_fail() -> None:
    """An interpreter that has a worker's rooms prepared is found out."""
    loaded = loaded_after("from lossbench.worker import prepare; prepare(None)")
    assert loaded.issuperset({"tensorflow", "keras"})
