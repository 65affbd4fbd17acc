"""
Reader of the settings file: TOML to values by option name.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from batchfetch.cli.sources import did_you_mean
from batchfetch.errors import SettingsError
from batchfetch.paths import expand_home
from batchfetch.service import credentials
from batchfetch.text import sanitize

TABLES = ("report", "submit")
"""Commands whose settings are in a table of their own; all other keys are those of `fetch`."""


_REPORT_KEY = re.compile(r"^[ \t]*[\"']?report[\"']?[ \t]*=", re.MULTILINE)
_REPORT_TABLE = re.compile(r"^[ \t]*\[[ \t]*[\"']?report[\"']?[ \t]*\]", re.MULTILINE)


def read_config(
    path: str, known: Sequence[str], *, table: str | None = None, shared: Sequence[str] = ()
) -> dict[str, object]:
    """
    Return the settings in the file at *path*; its keys are option names with dashes or underscores.

    They are those of *table*, one of `TABLES`, or without it those of no table; those of no table
    that are *shared* count for the table, too, unless it has its own.  Relative paths are
    returned unchanged, so they start at the working directory, as they do on the command line.
    Raises `SettingsError` if the file cannot be read, is not TOML, or has a key that is not one of
    *known*.
    """
    values: dict[str, object] = {}
    file = _read_toml(path)
    if table is not None:
        names = {key.replace("-", "_").lower(): key for key in file}
        values.update({name: file[names[name]] for name in shared if name in names})
    inherited = set(values)
    for key, value in _keys_of(file, table).items():
        name = key.replace("-", "_").lower()
        _require_known(path, key, name, known)
        if name in values and name not in inherited:
            raise SettingsError(
                f"{path}: {sanitize(key, 80)} and another key are both the setting {name}; remove"
                " one of them"
            )
        values[name] = value
        inherited.discard(name)
    return values


def _keys_of(file: Mapping[str, object], table: str | None) -> Mapping[str, object]:
    tables = {key: value for key, value in file.items() if isinstance(value, dict)}
    if table is not None:
        return tables.get(table, {})
    return {key: value for key, value in file.items() if key not in tables or key not in TABLES}


def _read_toml(path: str) -> dict[str, object]:
    text = ""
    try:
        text = Path(expand_home(path)).read_text(encoding="utf-8-sig")
        return tomllib.loads(text)
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {_not_toml(text, error)}") from None
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from None
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read: {error.strerror}; give --config the path of a TOML file"
        ) from None


def _not_toml(text: str, error: tomllib.TOMLDecodeError) -> str:
    """
    Return why *text* is no TOML, and what to do.
    """
    # The one name that is both: where `fetch` writes its report, and the options of `report`.
    if _REPORT_KEY.search(text) and _REPORT_TABLE.search(text):
        return (
            "report cannot be both a key and a table; leave out the key, and give the path of"
            " fetch's report with --report or BATCHFETCH_REPORT, or keep the table [report] in a"
            " file of its own"
        )
    return f"is not TOML: {error}; correct it there"


def _require_known(path: str, key: str, name: str, known: Sequence[str]) -> None:
    if name in known:
        return
    for secret in credentials.NAMES:
        if name in {secret, f"{secret}_file"}:
            variable = credentials.variable(secret)
            raise SettingsError(
                f"{path}: {key} does not belong in a settings file; set {variable}, or "
                f"{variable}_FILE to the name of a file that holds it"
            )
    raise SettingsError(
        f"{path}: {sanitize(key, 80)} is not a setting"
        f"{did_you_mean(name, known) or '; batchfetch help options lists them'}"
    )
