"""
The shape of the package: who may import whom, and what is public.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from command import environment

import batchfetch

PACKAGE = Path(batchfetch.__file__).parent

# A folder counts as one module.  Modules of one layer do not know each other.
LAYERS = [
    {"errors", "endpoints", "exception_groups", "text", "version"},
    {"exit_codes", "models"},
    {"settings"},
    {"decoding", "manifest", "report", "scheduling", "storage"},
    {"service"},
    {"run"},
    {"sandbox"},
    {"cli"},
    {"__init__", "__main__"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

# Outside libraries, and the rooms that know them.  pydantic is known wherever text becomes values.
SEAMS = {
    "aiofiles": {"report", "storage"},
    "aiohttp": {"sandbox", "service"},
    "click": {"cli"},
    "isal": {"decoding"},
    "multidict": {"sandbox", "service"},
    "PIL": {"sandbox"},
    "pybase64": {"decoding", "sandbox"},
    "rich": {"cli"},
    "yarl": {"service"},
}
EVERYWHERE = {"anyio", "pydantic", "pydantic_core"}

PATHS = sorted(PACKAGE.rglob("*.py"))


def room(path):
    """
    Return the module, or folder, that the file at *path* belongs to.
    """
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """
    Yield the full name of everything the file at *path* imports, wherever in it.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module


def siblings(path):
    """
    Return the rooms of the package that the file at *path* imports.
    """
    found = {name.split(".")[1] for name in imports(path) if name.startswith("batchfetch.")}
    return found - {room(path)}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    """
    A module imports only from layers below its own.
    """
    if path == PACKAGE / "__init__.py":
        return  # The front door opens to every room, and only when somebody comes.
    for name in siblings(path):
        assert RANK[name] < RANK[room(path)], f"{path} imports {name}"


def test_the_stand_in_stands_alone():
    """
    The sandbox shares words and settings with the client, and none of its code.
    """
    allowed = LAYERS[0] | LAYERS[1] | LAYERS[2]
    for path in (PACKAGE / "sandbox").rglob("*.py"):
        assert siblings(path) <= allowed


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_outside_libraries_stay_behind_their_seams(path):
    """
    Each library is known in its own rooms only, and there is none that is not listed.
    """
    for name in {name.split(".")[0] for name in imports(path)}:
        if name in sys.stdlib_module_names or name in EVERYWHERE or name == "batchfetch":
            continue
        assert room(path) in SEAMS[name], f"{path} imports {name}"


def test_exports():
    """
    What is public is exactly what is listed, and all of it is there.
    """
    assert dir(batchfetch) == sorted(batchfetch.__all__)
    for name in batchfetch.__all__:
        assert getattr(batchfetch, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = batchfetch.nothing


def test_no_public_name_is_also_a_module():
    """
    Importing a module puts it into the package under its name, in front of anything else there.
    """
    modules = {path.stem for path in PACKAGE.glob("*")}
    assert modules & set(batchfetch.__all__) == set()


def test_the_front_door_is_light():
    """
    Importing the package imports nothing else, and no other library.
    """
    code = "import sys, batchfetch; print(*set(sys.modules) - set(sys.stdlib_module_names))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=environment(),
    )
    foreign = {name for name in done.stdout.split() if "." not in name or "batchfetch" in name}
    assert foreign - {"__main__"} == {"batchfetch"}
