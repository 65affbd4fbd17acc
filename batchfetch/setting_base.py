"""
What all settings have in common: they are frozen, checked, and never shown in an error whole.
"""

from pydantic import BaseModel, ConfigDict, ValidationError

from batchfetch.setting_errors import invalid_values

SETTINGS_CONFIG = ConfigDict(
    frozen=True,
    extra="forbid",
    # The input may be a credential in the wrong place; a parser shows it where that is safe.
    hide_input_in_errors=True,
    use_attribute_docstrings=True,
    # Defaults are checked too: a wrong one is our defect, not the first user's.
    validate_default=True,
    # Built on first use: `--help` reads the fields and validates nothing.
    defer_build=True,
)


class BaseSettings(BaseModel):
    """
    Settings of a command and of the library.  Raises `SettingsError`, one sentence a value.
    """

    model_config = SETTINGS_CONFIG

    def __init__(self, **values: object) -> None:
        try:
            super().__init__(**values)
        except ValidationError as exc:
            raise invalid_values(exc, values) from None
