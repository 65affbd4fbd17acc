"""
The public types: every example passes plain mypy --strict, and pyright.
"""

import re
import subprocess
import sys
from typing import get_type_hints

import pytest
from command import ROOT

from batchfetch.settings import Settings, SettingsOptions
from batchfetch.submit_settings import SubmitOptions, SubmitSettings

PAGES = [ROOT / "README.md", *sorted((ROOT / "batchfetch" / "manual").glob("*.md"))]


# Libraries of samples, which need not be installed: what is checked is how ours is used.
FOREIGN = ["airflow.providers.standard.operators.bash", "airflow.sdk", "pandas"]
STUB = "from typing import Any\n\ndef __getattr__(name: str) -> Any: ...\n"


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """
    The code of README, manual and samples, and a file of uses, in a folder without settings.
    """
    folder = tmp_path_factory.mktemp("examples")
    for page in PAGES:
        blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
        for number, code in enumerate(blocks):
            (folder / f"{page.stem.lower().replace('-', '_')}_{number}.py").write_text(code)
    for path in (*(ROOT / "samples").glob("*.py"), ROOT / "tests" / "typing" / "public.py"):
        (folder / path.name).write_text(path.read_text())
    assert len(list(folder.iterdir())) >= 8
    for module in FOREIGN:
        place = folder.joinpath(*module.split("."))
        for package in reversed(place.relative_to(folder).parents[:-1]):
            (folder / package).mkdir(exist_ok=True)
            (folder / package / "__init__.pyi").touch()
        place.with_suffix(".pyi").write_text(STUB)
    return folder


CHECKERS = {
    "mypy": ["--strict", "--config-file", "/dev/null"],
    "pyright": ["--pythonpath", sys.executable],
}


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKERS)
def test_examples_pass_the_checkers(examples, checker):
    """
    Without a plug-in and without settings, nothing is to be said of them.
    """
    files = sorted(map(str, examples.glob("*.py")))
    done = subprocess.run(
        [sys.executable, "-m", checker, *CHECKERS[checker], *files],
        cwd=examples,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_settings_accept_is_what_they_have():
    """
    The options that are typed for callers are the fields, all of them.
    """
    assert get_type_hints(SettingsOptions).keys() == Settings.model_fields.keys()
    assert get_type_hints(SubmitOptions).keys() == SubmitSettings.model_fields.keys()
