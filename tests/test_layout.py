"""
The shape of the package: who may import whom, and what is public.
"""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from command import environment

import batchfetch

PACKAGE = Path(batchfetch.__file__).parent

# A folder counts as one module.  Modules of one layer do not know each other.
LAYERS = [
    {
        *("endpoints", "exception_groups", "locks", "paths", "redaction", "statuses", "text"),
        *("hash_table", "sharding", "tuning", "version"),
    },
    {"errors", "models"},
    {"setting_errors"},
    {"setting_base", "setting_values"},
    {"exit_codes", "settings"},
    {"submit_settings"},
    {"decoding", "hooks", "manifest", "report", "sandbox", "scheduling", "storage"},
    {"service", "sources"},
    {"run"},
    {"cluster", "submission"},
    {"cli"},
    {"__init__", "__main__"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

# Outside libraries, and who knows them; pydantic is known wherever text becomes values.
SEAMS = {
    "aiofiles": {"report", "storage"},
    "aiohttp": {"sandbox", "service"},
    "click": {"cli"},
    "dask": {"cluster"},
    "distributed": {"cluster"},
    "isal": {"decoding"},
    "multidict": {"sandbox"},
    "obstore": {"storage"},
    "PIL": {"sandbox"},
    "pyarrow": {"manifest", "report"},
    "pybase64": {"decoding", "sandbox", "submission"},
    "rich": {"cli"},
    "yarl": {"service"},
}
EVERYWHERE = {"anyio", "pydantic", "pydantic_core"}

# What may be imported of these: the package itself, and the modules that its documentation names.
DOCUMENTED = {
    "aiofiles": {"aiofiles", "aiofiles.os"},
    "aiohttp": {"aiohttp", "aiohttp.web"},
    "anyio": {"anyio", "anyio.abc", "anyio.lowlevel", "anyio.to_thread"},
    "obstore": {"obstore", "obstore.exceptions", "obstore.store"},
    "pyarrow": {"pyarrow", "pyarrow.parquet"},
}

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
    allowed = set().union(*LAYERS[: RANK["settings"] + 1])
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


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_are_used_by_their_documentation(path):
    """
    Nothing is imported from submodules that are implementation details, and no name with an
    underscore is used of what is imported.
    """
    tree = ast.parse(path.read_text())
    for name in imports(path):
        library = name.split(".")[0]
        assert name in DOCUMENTED.get(library, {name}), f"{path} imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in SEAMS | DOCUMENTED:
            private = [alias.name for alias in node.names if alias.name.startswith("_")]
            assert private == [], f"{path} imports {private}"


@pytest.mark.parametrize("library", ["aiohttp", "aiofiles"])
def test_only_public_names_of_a_library_are_used(library):
    """
    Every attribute of aiohttp's and aiofiles' packages that is used is one that they export.
    """
    exported = set(importlib.import_module(library).__all__) | {"web", "os"}
    for path in PATHS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == library:
                used = {alias.name for alias in node.names}
            elif (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == library
            ):
                used = {node.attr}
            else:
                continue
            assert used <= exported, f"{path} uses {used - exported} of {library}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "service").glob("*.py")), ids=lambda p: p.name)
def test_no_private_attribute_of_another_object_is_touched(path):
    """
    An underscore is looked up on `self` and on classes only: aiohttp's objects have plenty.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            if node.attr.startswith("__"):
                continue
            assert isinstance(node.value, ast.Name), f"{path}:{node.lineno}"
            assert node.value.id in {"self", "cls"}, f"{path}:{node.lineno}"


def test_one_place_is_for_decoding_and_storage_together():
    """
    Where images are decoded and where they go is known together in `run/download.py` only, and to
    what looks at images that are there already.
    """
    together = {
        str(path.relative_to(PACKAGE))
        for path in PATHS
        if siblings(path) >= {"decoding", "storage"}
    }
    assert together == {"run/download.py", "run/placement.py"}


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
