"""The house stands: floors, where TensorFlow may load, and what must stay quick to start."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import numpy as np
import pytest

import lossbench
from lossbench.cli.app import app

HOUSE = Path(lossbench.__file__).parent
FLOORS = (
    ("words", "arrays", "child_process"),
    ("errors", "commits"),
    ("loss", "network", "optimizer"),
    ("settings",),
    ("columns", "experiment"),
    ("run",),
    ("data", "store", "theory"),
    ("nn", "comparison", "explanation", "prediction", "measurement", "auditing", "description"),
    ("worker", "recommendation", "building"),
    ("engine", "trained", "proving"),
    ("sweeping",),
    ("confirmation",),
    ("console", "report", "api"),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FRAMEWORKS = ("tensorflow", "keras", "torch")
DOORS = ("__init__", "__main__")


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


ROOMS = sorted(path.parent.name for path in HOUSE.glob("*/__init__.py"))


def offered(room: str) -> set[str]:
    """Return the names that the door of a room offers."""
    door = ast.parse((HOUSE / room / "__init__.py").read_text("utf-8"))
    made = {node.name for node in door.body if isinstance(node, ast.FunctionDef)}
    return made | {n.rpartition(".")[2] for n in imported(door) if n.startswith("lossbench.")}


def entered(source: str, room: str) -> set[str]:
    """Return the modules of other rooms that a module of ``room`` reaches past their doors.

    A room whose door offers nothing has a door in every module.
    """
    parts = [name.split(".") for name in imported(ast.parse(source)) if name.count(".") > 1]
    return {
        f"{other}.{inside}"
        for first, other, inside, *further in parts
        if (first, other != room) == ("lossbench", True) and (HOUSE / other).is_dir()
        if offered(other) and (further or inside not in offered(other))
    }


def test_rooms_are_entered_by_their_doors() -> None:
    """What a room needs from another one is offered at the other one's door."""
    past_a_door = {
        (str(path.relative_to(HOUSE)), past)
        for path in modules()
        for past in entered(path.read_text("utf-8"), room_of(path))
    }
    assert past_a_door == set()


def test_the_check_of_doors_can_fail() -> None:
    """Neither form of import is missed; a door and a room without one are free to enter."""
    past = {"comparison.pairing"}
    assert entered("from lossbench.comparison.pairing import pair", "report") == past
    assert entered("import lossbench.comparison.pairing", "report") == past
    free = "from lossbench.comparison import select\nfrom lossbench.console.screen import out"
    assert entered(free, "report") == set()


def round_trip(sources: dict[str, str]) -> list[str]:
    """Return modules of one room that import each other in a circle, if there are any."""
    targets = {name: set(imported(ast.parse(source))) for name, source in sources.items()}
    arrows = {
        name: {
            other
            for other in sources
            if other != name and any(f"{target}.".startswith(f"{other}.") for target in found)
        }
        for name, found in targets.items()
    }
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("room", ROOMS)
def test_the_modules_of_a_room_stand_on_each_other(room: str) -> None:
    """No circle of imports joins siblings; none goes through the door of its own room."""
    paths = {
        f"lossbench.{room}.{path.stem}": path
        for path in (HOUSE / room).glob("*.py")
        if path.stem not in DOORS
    }
    assert round_trip({name: path.read_text("utf-8") for name, path in paths.items()}) == []
    through_the_door = [
        name
        for name, path in paths.items()
        for target in imported(ast.parse(path.read_text("utf-8")))
        if target.rpartition(".")[0] == f"lossbench.{room}" and target not in paths
    ]
    assert through_the_door == []


def test_the_check_of_circles_can_fail() -> None:
    """Two modules that need each other are found, and named."""
    sources = {
        "lossbench.x.a": "import lossbench.x.b",
        "lossbench.x.b": "from lossbench.x import a",
    }
    assert set(round_trip(sources)) == set(sources)


# What a command loads.

COMMANDS = (
    ["--help"],
    ["--version"],
    ["init", "INIT"],
    ["sweep", "--help"],
    ["sweep", "--dry-run"],
    ["show", "RESULTS"],
    ["compare", "RESULTS:seed=0", "RESULTS:seed=1"],
    ["explain"],
    ["explain", "blog", "--d", "784", "--k", "2"],
    ["predict", "--dataset", "digits"],
    ["recommend", "--kl", "3"],
    ["audit", "BROKEN:vae_loss", "--d", "4", "--k", "2"],
    ["report", "RESULTS"],
    ["measure", "ARRAYS", "--reconstruction-loss", "bce"],
    ["data", "digits"],
)
TRAINS = {"export"}  # builds the model that it writes
LOADING = """
import json, os, sys
for arguments in json.loads(sys.argv[1]):
    before = set(sys.modules)
    sys.argv = ["lossbench", *arguments]
    try:
        from lossbench.cli import main
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    loaded = sorted({name.split(".")[0] for name in set(sys.modules) - before})
    print("LOADED", json.dumps([code, loaded]), flush=True)
"""


def loaded_by(commands: list[list[str]]) -> list[tuple[int, set[str]]]:
    """Run commands one after another in a fresh interpreter.

    Returns the exit code of each, and the top-level modules that it was the first to load.
    """
    answer = subprocess.run(
        [sys.executable, "-c", LOADING, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = re.findall(r"^LOADED (.*)$", answer.stdout, re.MULTILINE)
    return [(code, set(loaded)) for code, loaded in map(json.loads, lines)]


@pytest.fixture(scope="module")
def loaded(
    drilled_results: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[int, set[str]]]:
    """Return for every command its exit code and what it loaded."""
    broken = Path(__file__).parent / "audited" / "broken.py"
    started = tmp_path_factory.mktemp("init") / "mine"
    arrays = tmp_path_factory.mktemp("measured") / "mine.npz"
    np.savez(
        arrays,
        x=np.eye(3),
        x_hat=np.full((3, 3), 0.5),
        z_mean=[[1], [0], [2]],
        z_log_var=[[-1]] * 3,
    )
    places = {"ARRAYS": arrays, "RESULTS": drilled_results, "BROKEN": broken, "INIT": started}
    told = [
        [
            re.sub("RESULTS|BROKEN|INIT|ARRAYS", lambda found: str(places[found[0]]), part)
            for part in words
        ]
        for words in COMMANDS
    ]
    return dict(zip(map(" ".join, COMMANDS), loaded_by(told), strict=True))


@pytest.mark.parametrize("command", [" ".join(words) for words in COMMANDS])
def test_only_training_loads_tensorflow(
    command: str, loaded: dict[str, tuple[int, set[str]]]
) -> None:
    """Whatever trains nothing starts without the frameworks."""
    code, modules_of_command = loaded[command]
    assert code == 0
    assert modules_of_command.isdisjoint(FRAMEWORKS)


def test_every_command_that_trains_nothing_is_asked_what_it_loads() -> None:
    """A new command is either listed above or known to train."""
    names = {str(command.name) for command in app.registered_commands}
    assert {words[0] for words in COMMANDS if not words[0].startswith("-")} == names - TRAINS


@pytest.mark.slow
def test_the_check_of_what_is_loaded_can_fail() -> None:
    """An interpreter that has a worker's rooms prepared is found out."""
    program = LOADING.replace("main()", "from lossbench.worker import prepare; prepare()")
    answer = subprocess.run(
        [sys.executable, "-c", program, "[[]]"], capture_output=True, text=True, check=True
    )
    assert set(FRAMEWORKS[:2]) <= set(json.loads(answer.stdout.partition("LOADED ")[2])[1])
