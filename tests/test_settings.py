"""
Settings: what they take, what they refuse, and in which words.
"""

import pytest
from pydantic import ValidationError

from batchfetch.endpoints import ENDPOINTS
from batchfetch.errors import SettingsError
from batchfetch.models import OutcomeStatus
from batchfetch.setting_errors import shown
from batchfetch.setting_values import is_loopback
from batchfetch.settings import Settings
from batchfetch.sharding import Shard


def refusal(**settings):
    """
    Return the one sentence with which these are refused.
    """
    with pytest.raises(SettingsError) as caught:
        Settings(**settings)
    ((_, words),) = caught.value.problems
    return words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86400), ("250ms", 0.25)),
        *((" 1.5 H ", 5400), (7, 7), (0.5, 0.5)),
    ],
)
def test_durations(text, seconds):
    """
    A duration is a number of seconds, or text with a unit.
    """
    assert Settings(patience=text).patience == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(("1000", 1000), ("64KiB", 65536), ("1GiB", 2**30), ("5MB", 5_000_000), ("2k", 2000)),
        *(("1.5 mib", 1_572_864), ("7B", 7), (9, 9)),
    ],
)
def test_sizes(text, size):
    """
    A size is a number of bytes, or text with a unit, of 1024 with an i and of 1000 without.
    """
    assert Settings(max_image_bytes=text).max_image_bytes == size


@pytest.mark.parametrize(
    ("text", "rate"), [("20", 20), ("20/s", 20), ("600/m", 10), ("7200 / h", 2), (0.5, 0.5)]
)
def test_rates(text, rate):
    """
    A rate is a number of requests per second, or text with a unit of time.
    """
    assert Settings(rate=text).rate == rate


@pytest.mark.parametrize("text", ["", "soon", "-1", "1 week", "1e3", "m", "0", "0s", "inf", "nan"])
@pytest.mark.parametrize("name", ["patience", "max_image_bytes", "rate", "max_runtime"])
def test_no_amounts(name, text):
    """
    What is no positive amount is refused.
    """
    assert refusal(**{name: text})


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("patience", "'soon' is not a valid duration; use 90, 90s, 15m or 2h"),
        ("max_image_bytes", "'soon' is not a valid size; use 1000, 64KiB or 1GiB"),
        ("rate", "'soon' is not a valid rate; use 20, 20/s or 600/m"),
    ],
)
def test_a_refused_amount_is_named(name, sentence):
    """
    The sentence names what is refused and what to use, but not what may be a credential.
    """
    assert refusal(**{name: "soon"}) == sentence
    assert refusal(**{name: "x" * 20}) == sentence.replace("soon", "x" * 20)
    assert refusal(**{name: "x" * 21}) == sentence.replace("'soon'", "the value")


@pytest.mark.parametrize("amount", [float("inf"), float("nan"), 0, -1])
@pytest.mark.parametrize("name", ["patience", "rate", "read_timeout"])
def test_never_and_at_once_are_no_amounts(name, amount):
    """
    "Never" is said by leaving a setting out.
    """
    assert refusal(**{name: amount})


def test_outcomes_that_count_as_failures():
    """
    All but Completed, unless some are named; none is a word of its own.
    """
    assert Settings().fail_on == set(OutcomeStatus) - {"Completed"}
    assert Settings(fail_on="timedout, Failed").fail_on == {"TimedOut", "Failed"}
    assert Settings(fail_on=" None ").fail_on == Settings(fail_on=[]).fail_on == frozenset()


def test_outcomes_that_cannot_count_as_failures():
    """
    Completed is none, and an option without a word is a mistake.
    """
    assert refusal(fail_on="Failed,Completed").startswith("Completed is no failure; name other")
    assert refusal(fail_on=" ,").startswith("names no outcome; use some, with commas")
    assert refusal(fail_on="none,Failed").startswith("'none' is not a valid outcome; use ")


def test_outcomes_to_retry_in_any_case():
    """
    Outcomes are separated by commas; case and blanks do not matter.
    """
    assert Settings(retry="error, NOTEXIST,").retry == {"Error", "NotExist"}
    assert Settings(retry="").retry == frozenset()


def test_what_is_no_outcome_is_named():
    """
    The sentence lists the outcomes there are.
    """
    assert refusal(retry="Eror").startswith("'Eror' is not a valid outcome; use Error, NotEx")
    assert refusal(retry=f"Error,{'x' * 21}").startswith("the value is not a valid outcome; use ")
    assert refusal(retry="Completed") == "Completed is not retried; use --overwrite"


@pytest.mark.parametrize(
    "url",
    [
        *("https://api.aspose.cloud", "https://host:8443/ocr", "http://localhost:8080"),
        *("http://127.0.0.1", "http://127.9.9.9:1", "http://[::1]:8080"),
    ],
)
def test_roots_of_a_service(url):
    """
    https anywhere, plain http on this machine; a slash at the end does not matter.
    """
    assert Settings(base_url=f"{url}/").base_url == url


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("api.aspose.cloud", "is not a valid URL; use https://host[:port]"),
        ("ftp://api.aspose.cloud", "is not a valid URL; use https://host[:port]"),
        ("https://", "is not a valid URL; use https://host[:port]"),
        ("https://host:port", "is not a valid URL; use https://host[:port]"),
        ("https://[::1", "is not a valid URL; use https://host[:port]"),
        ("https://me:s3cret@host", "holds credentials"),
        ("https://host/?key=s3cret", "has a query or a fragment; leave out all from the ? or # on"),
        ("https://host/#top", "has a query or a fragment"),
        (
            "http://api.aspose.cloud",
            "is plain http, which would show the token to the network; use https://, or a loopback",
        ),
        ("http://localhost.example.com", "is plain http, which would show"),
        ("http://127.0.0.1.example.com", "is plain http, which would show"),
    ],
)
def test_what_is_no_root_of_a_service(url, sentence):
    """
    The token goes nowhere in plain text, and no secret is repeated.
    """
    said = refusal(base_url=url)
    assert said.startswith(sentence)
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("LOCALHOST", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.1", False)],
)
def test_loopback(host, loopback):
    """
    Only what cannot leave this machine counts.
    """
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("endpoint", [*ENDPOINTS, "/v6.0/ocr/DeskewImage"])
def test_endpoints(endpoint):
    """
    A short name, or a path.
    """
    assert Settings(endpoint=endpoint).endpoint == endpoint


@pytest.mark.parametrize(
    ("endpoint", "sentence"),
    [
        ("rotate", "'rotate' is not a valid endpoint; use task, file, "),
        ("/a b", "'/a b' is not a valid path"),
        ("/a?id=1", "'/a?id=1' is not a valid path"),
        ("/ä", "'/ä' is not a valid path"),
        ("/" + "a" * 1000, "'/aaa"),
    ],
)
def test_what_is_no_endpoint(endpoint, sentence):
    """
    What cannot be put into a request is refused before there is one.
    """
    assert refusal(endpoint=endpoint).startswith(sentence)


def test_settings_cannot_be_misspelt_or_changed():
    """
    A wrong name is an error, and a value is for good.
    """
    assert refusal(conurrency=3) == "Extra inputs are not permitted"
    with pytest.raises(ValidationError, match="frozen"):
        Settings().concurrency = 3


def test_an_error_does_not_repeat_what_was_given():
    """
    What is as long as a token may be one in the wrong place; a short word is shown.
    """
    token = "s3cret" * 6
    for settings in ({"concurrency": token}, {"patience": token}, {"base_url": "me:s3cret@host"}):
        with pytest.raises(SettingsError) as caught:
            Settings(**settings)
        assert "s3cret" not in str(caught.value)
    with pytest.raises(SettingsError, match="concurrency: 'many' is not valid; it should be a"):
        Settings(concurrency="many")


def test_the_report_is_in_the_output_unless_it_is_elsewhere():
    """
    Its place follows from the output, and cannot be the output itself.
    """
    assert str(Settings(output="out").report_path) == "out/report.jsonl"
    assert str(Settings(output="out", report="r.jsonl").report_path) == "r.jsonl"
    assert refusal(output="a", report="a").endswith(
        "give the report a name of its own, or leave it out"
    )


def test_a_report_is_no_parquet():
    """
    Its lines could be neither appended nor repaired; the message says how to get a table.
    """
    message = refusal(report="night.PARQUET")
    assert "can be neither appended to nor repaired; use a .jsonl" in message
    assert "batchfetch report -o night.PARQUET" in message


@pytest.mark.parametrize(
    ("value", "text"),
    [("fast", "'fast'"), (7, "7"), (0.5, "0.5"), (True, "True"), (["fast"], "the value")],
)
def test_values_that_an_error_may_show(value, text):
    """
    Short words and numbers; a list may contain anything.
    """
    assert shown(value) == text


@pytest.mark.parametrize("name", ["output", "report"])
def test_a_path_may_not_be_too_deep_to_be_made(name):
    """
    Folders are made within each other, which Python does not do a thousand times.
    """
    assert "more than 200 folders in each other" in refusal(**{name: "a/" * 1200 + "b"})


@pytest.mark.parametrize("name", ["id_column", "name_column"])
def test_the_name_of_a_column_is_not_empty(name):
    """
    Blanks around a column's name do not matter, and there must be more than blanks.
    """
    assert getattr(Settings(**{name: " Page ID "}), name) == "Page ID"
    assert refusal(**{name: " "}) == "must not be empty; give the name of a column"


@pytest.mark.parametrize(
    ("text", "index", "count"), [("1/1", 1, 1), ("3/8", 3, 8), (" 8 / 8 ", 8, 8)]
)
def test_parts(text, index, count):
    """
    A part is a number of a number, counted from 1; a run log has it as text.
    """
    settings = Settings(shard=text)
    assert settings.shard == Shard(index, count)
    assert Settings(shard=Shard(index, count)) == settings
    assert settings.model_dump(mode="json", exclude_defaults=True) == {"shard": f"{index}/{count}"}


@pytest.mark.parametrize("shard", ["0/8", "9/8", "1/0", "0/0", Shard(0, 8)])
def test_parts_that_there_are_not(shard):
    """
    What counts from 0, or beyond the number, is told how parts are counted.
    """
    assert refusal(shard=shard) == (
        f"'{shard}' is not a valid shard; parts are counted from 1 to N: 1/8 to 8/8"
    )


@pytest.mark.parametrize("shard", ["x", "", "3", "3/", "/8", "-1/8", "1/8/2", "1.5/8", 38])
def test_what_is_no_part(shard):
    """
    Anything else is told what a part looks like.
    """
    assert refusal(shard=shard) == f"{shard!r} is not a valid shard; use I/N, such as 1/8"


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({}, "images/report.3-of-8.jsonl"),
        ({"report": "night.jsonl"}, "night.3-of-8.jsonl"),
        ({"report": "a.b/night.log"}, "a.b/night.3-of-8.log"),
        ({"output": "s3://scans/2026/11"}, "11.report.3-of-8.jsonl"),
        ({"report": "/dev/null"}, "/dev/null"),
    ],
)
def test_the_report_of_a_part(settings, path):
    """
    The report of a part has the part in its name; only a device or a pipe has no other beside it.
    """
    assert str(Settings(shard="3/8", **settings).report_path) == path


def test_a_part_has_its_share():
    """
    Rate and calls are given for the whole; the shares add up to them exactly.
    """
    parts = [Settings(shard=f"{i}/8", rate="20/s", max_calls=19) for i in range(1, 9)]
    assert [part.max_calls_share for part in parts] == [3, 3, 3, 2, 2, 2, 2, 2]
    assert sum(part.rate_share for part in parts) == 20
    assert [Settings(shard=f"{i}/3", max_calls=2).max_calls_share for i in (1, 2, 3)] == [1, 1, 0]
    alone = Settings(rate="20/s", max_calls=19)
    assert (alone.rate_share, alone.max_calls_share) == (20, 19)
    free = Settings(shard="1/8")
    assert (free.rate_share, free.max_calls_share) == (None, None)
