"""
Print the oldest versions that pyproject.toml allows, and the tools for the tests as locked.
"""

import re
import tomllib
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parent.parent


def name_of(requirement: str) -> str:
    """
    Return the name a *requirement* begins with.
    """
    found = re.match(r"[\w-]+", requirement)
    return found[0] if found else requirement


def main() -> None:
    """
    Print a requirements file.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lock = (ROOT / ".ci/requirements.txt").read_text(encoding="utf-8")
    locked = re.findall(r"^([\w-]+)==(\S+)", lock, re.MULTILINE)
    own = project["project"]
    floors = {
        name_of(line): line.split(">=")[1].split(",")[0].split(";")[0].strip()
        for line in chain(own["dependencies"], *own["optional-dependencies"].values())
    }
    tools = {name_of(line) for line in project["dependency-groups"]["dev"]} - set(floors)
    for name, version in [*floors.items(), *(pin for pin in locked if pin[0] in tools)]:
        print(f"{name}=={version}")


main()
