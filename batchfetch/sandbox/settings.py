"""
Settings of the stand-in, with their defaults and descriptions.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PositiveInt,
    field_validator,
)

from batchfetch.setting_base import SETTINGS_CONFIG
from batchfetch.setting_errors import shown
from batchfetch.setting_values import Duration, Size, is_loopback, parse_duration


class InjectedFault(StrEnum):
    """
    A kind of fault that can be injected into a response.
    """

    TOO_MANY_REQUESTS = "429"
    SERVER_ERROR = "500"
    RESET = "reset"
    TRUNCATE = "truncate"
    CORRUPT = "corrupt"
    SLOW = "slow"
    LOSE = "lose"


def parse_faults(text: object) -> object:
    """
    Return the share, from 0 to 1, of each fault in a text like `429=0.1,reset=5%`.

    A value that is not text is returned unchanged.  Raises `ValueError` for an invalid text.
    """
    if not isinstance(text, str):
        return text
    shares: dict[InjectedFault, float] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        kind, _, share = (word.strip() for word in item.partition("="))
        if kind not in set(InjectedFault):
            raise ValueError(f"{shown(kind)} is not a valid fault; use {', '.join(InjectedFault)}")
        if InjectedFault(kind) in shares:
            raise ValueError(f"{kind} is given twice; use it once")
        try:
            shares[InjectedFault(kind)] = float(share.removesuffix("%")) / (
                100 if share.endswith("%") else 1
            )
        except ValueError:
            raise ValueError(
                f"{shown(item)} has no valid share; use {kind}=0.1 or {kind}=10%"
            ) from None
    return shares


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Faults = Annotated[Mapping[InjectedFault, Share], BeforeValidator(parse_faults)]


class SandboxSettings(BaseModel):
    """
    Settings of the stand-in.  Frozen; an unknown name is an error.

    Durations are seconds; each also accepts the text of the command line (`"15m"`).
    """

    model_config = SETTINGS_CONFIG

    host: str = "127.0.0.1"
    """The loopback address to listen on."""

    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """The port to listen on; 0 picks a free one."""

    seed: int = 0
    """Pages, tokens, ids and faults are the same for the same seed."""

    workers: PositiveInt = 16
    """Tasks processed at once."""

    processing_time: Annotated[
        float, BeforeValidator(parse_duration), Field(ge=0, allow_inf_nan=False)
    ] = 0.5
    """How long one task is worked on; 0 completes a task as soon as a worker is free."""

    expire_after: Duration = 24 * 3600
    """How long a result is kept, from its submission."""

    token_life: Duration = 3600
    """How long a token is valid."""

    faults: Faults = {}
    """The share of API calls that go wrong: 429=0.1,500=1%,reset,truncate,corrupt,slow; and
    lose, the share of submissions that are accepted and never answered."""

    slow_time: Duration = 2
    """How long a slow answer's body takes."""

    largest_image: Size = 2 * 2**20
    """The largest page drawn for an id that is not well known."""

    filters: bool = True
    """Apply filters to submitted images, if Pillow is installed."""

    @field_validator("host")
    @classmethod
    def _only_this_machine(cls, host: str) -> str:
        if not is_loopback(host):
            raise ValueError(
                f"{shown(host)} is no loopback address, and the stand-in takes any credentials; use"
                " 127.0.0.1"
            )
        return host

    @field_validator("faults")
    @classmethod
    def _no_more_than_all(
        cls, faults: Mapping[InjectedFault, float]
    ) -> Mapping[InjectedFault, float]:
        if sum(faults.values()) > 1:
            raise ValueError(
                f"the shares are {100 * sum(faults.values()):g} % in total, and a response has one"
                " fault at most; give 100 % or less"
            )
        return faults
