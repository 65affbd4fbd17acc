"""
Options: made from the models, and made into them, whatever place they come from.
"""

import re

import click
import pytest
from click.testing import CliRunner

from batchfetch.cli.config_file import read_config
from batchfetch.cli.fetch import command
from batchfetch.cli.options import RunOptions, names_of, options_of
from batchfetch.cli.run import strange_variables
from batchfetch.cli.sources import resolve, typed_options, variables
from batchfetch.errors import SettingsError
from batchfetch.manifest import ManifestFormat
from batchfetch.settings import Durability, Settings

NAMES = names_of(Settings)


def typed(**values):
    """
    Settings given on the command line.
    """
    return typed_options(values)


def in_environment(**values):
    """
    Settings given in the environment, in the variables of these names.
    """
    return variables(values, NAMES, "BATCHFETCH_")


@pytest.fixture
def in_file(tmp_path):
    """
    Settings given in a file of this text.
    """

    def in_file(text, name="night.toml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_config(str(path), NAMES)

    return in_file


# What is offered


@pytest.mark.parametrize("model", [Settings, RunOptions])
def test_every_field_is_an_option_with_its_docstring_as_help(model):
    """
    An option has its field's name, and says what the field's docstring says.
    """
    for option, (name, field) in zip(options_of(model), model.model_fields.items(), strict=True):
        assert option.name == (field.alias or name)
        assert option.help.startswith(field.description.removesuffix("."))


def test_help_shows_defaults_as_they_would_be_typed():
    """
    Each default that help shows is taken back as the same value.
    """
    shown = {
        option.name: found[1]
        for option in options_of(Settings)
        if (found := re.search(r"\[default: ([^ ]+)\]$", option.help))
    }
    assert shown.pop("report") == "OUTPUT/report.jsonl"
    assert shown["patience"] == "30m"
    assert shown["max_image_bytes"] == "1GiB"
    assert resolve(Settings, [typed(**shown)]) == Settings()
    unset = {name for name in NAMES if getattr(Settings(), name) in (None, False)}
    assert set(shown) == set(NAMES) - unset


@pytest.mark.parametrize(
    ("name", "metavar"),
    [
        ("output", "DIR"),
        ("base_url", "URL"),
        ("concurrency", "N"),
        ("rate", "RATE"),
        ("polling", "thrifty|prompt"),
        ("price_per_call", "X"),
        ("max_calls", "N"),
        ("max_runtime", "DURATION"),
        ("max_image_bytes", "SIZE"),
        ("retry", "OUTCOME[,…]"),
    ],
)
def test_help_says_what_an_option_takes(name, metavar):
    """
    What stands for the value is taken from the field's type or its parser.
    """
    options = {option.name: option for option in options_of(Settings)}
    assert options[name].metavar == metavar


def test_a_switch_can_be_switched_off():
    """
    What a file or the environment switches on, the command line can undo.
    """
    options = {option.name: option for option in options_of(Settings)}
    assert options["overwrite"].secondary_opts == ["--no-overwrite"]
    sources = [typed(overwrite=False), in_environment(BATCHFETCH_OVERWRITE="yes")]
    assert resolve(Settings, sources).overwrite is False


def test_every_option_is_typed_with_dashes():
    """
    Help of the command offers every option under its name with dashes.
    """
    shown = CliRunner().invoke(command, ["--help"]).output
    for name in [*NAMES, *names_of(RunOptions), "config"]:
        assert re.search(rf"^ +(-\w, )?--{name.replace('_', '-')} ", shown, re.MULTILINE)


def test_every_format_of_a_manifest_can_be_named():
    """
    The option takes the formats that the library knows, by the same names.
    """
    for known in ManifestFormat:
        assert resolve(RunOptions, [typed(manifest_format=known.value)]).manifest_format == known
    with pytest.raises(SettingsError, match=f"should be .*'{known}'"):
        resolve(RunOptions, [typed(manifest_format="xlsx")])


# What was given


def test_the_nearer_place_wins(in_file):
    """
    An option beats the environment, the environment a file, a file the default.
    """
    sources = [
        typed(rate="1/s"),
        in_environment(BATCHFETCH_RATE="2/s", BATCHFETCH_ATTEMPTS="2"),
        in_file("rate = '3/s'\nattempts = 3\nconcurrency = 3\n"),
    ]
    settings = resolve(Settings, sources)
    assert (settings.rate, settings.attempts, settings.concurrency) == (1, 2, 3)
    assert settings.patience == Settings().patience


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, True) for word in ("1", "true", "yes", "on", "TRUE")),
        *((word, False) for word in ("0", "false", "no", "off", "Off")),
    ],
)
def test_switches_in_the_environment(text, value):
    """
    A variable switches on and off in the usual words.
    """
    assert resolve(Settings, [in_environment(BATCHFETCH_OVERWRITE=text)]).overwrite is value


def test_an_empty_variable_says_nothing():
    """
    A variable that is set to nothing is as good as unset.
    """
    assert resolve(Settings, [in_environment(BATCHFETCH_RATE="")]) == Settings()


def test_a_file_may_use_toml_values_or_the_words_of_the_command_line(in_file):
    """
    Numbers, switches and lists may be TOML's own; keys have dashes or underscores.
    """
    place = in_file(
        'max-runtime = "2h"\nmax_calls = 100\noverwrite = true\ndurability = "full"\n'
        'retry = ["Failed", "Error"]\nprice-per-call = 0.03\noutput = "night"\n'
    )
    settings = resolve(Settings, [place])
    assert settings.max_runtime == 7200
    assert settings.max_calls == 100
    assert settings.overwrite
    assert settings.durability is Durability.FULL
    assert settings.retry == {"Failed", "Error"}
    assert settings.price_per_call == 0.03
    assert str(settings.output) == "night"


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        ([typed(rate="fast")], "--rate: 'fast' is not a valid rate; use 20, 20/s or 600/m"),
        ([typed(concurrency="0")], "--concurrency: should be greater than 0"),
        ([typed(polling="x")], "--polling: should be 'thrifty' or 'prompt'"),
        (
            [in_environment(BATCHFETCH_MAX_CALLS="many")],
            "BATCHFETCH_MAX_CALLS: should be a valid integer, unable to parse string as an integer",
        ),
        (
            [typed(rate="1"), in_environment(BATCHFETCH_RATE="fast", BATCHFETCH_ATTEMPTS="-1")],
            "BATCHFETCH_ATTEMPTS: should be greater than 0",
        ),
        ([typed(output="a", report="a")], "report and output are the same path"),
        (
            [typed(attempts="0", polling="x")],
            "--attempts: should be greater than 0; --polling: should be 'thrifty' or 'prompt'",
        ),
    ],
)
def test_a_wrong_value_is_one_sentence_that_says_where_it_came_from(sources, sentence):
    """
    The sentence names the option or the variable.
    """
    with pytest.raises(SettingsError) as caught:
        resolve(Settings, sources)
    assert str(caught.value) == sentence


TAKES_ANY_TEXT = {"output", "report", "ca_file"}
NAMES_WHAT_IS_WRONG = {"endpoint", "retry"}


@pytest.mark.parametrize("name", sorted({*NAMES} - TAKES_ANY_TEXT - NAMES_WHAT_IS_WRONG))
def test_a_wrong_value_is_not_repeated(name):
    """
    A secret in the wrong place is not in the sentence.
    """
    with pytest.raises(SettingsError) as caught:
        resolve(Settings, [typed(**{name: "eyJhbGciOiJIUzI1NiJ9.s3cret"})])
    assert "s3cret" not in str(caught.value)


# The settings file


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("conurrency = 3", "conurrency is no setting; did you mean concurrency?"),
        ("wholly-other = 3", "wholly-other is no setting"),
        ("rate = 'fast'", "rate: 'fast' is not a valid rate; use 20, 20/s or 600/m"),
        ("[rate]\nof = 3", "rate: should be a valid number"),
        ("max-calls = 1\nmax_calls = 2", "max_calls is set twice"),
        ("rate = 1\nrate 2", "is not TOML: Expected '=' after a key in a key/value pair"),
        (b"\xff\xfe", "is not UTF-8 text"),
        ("config = 'x'", "config is no setting"),
    ],
)
def test_a_wrong_file_is_one_sentence_that_names_it(in_file, tmp_path, text, sentence):
    """
    The sentence names the file, the key, and the line where the file is no TOML.
    """
    with pytest.raises(SettingsError, match=re.escape(f"{tmp_path}/night.toml: {sentence}")) as e:
        resolve(Settings, [in_file(text)])
    if "TOML" in sentence:
        assert "line 2" in str(e.value)


def test_a_missing_file_is_one_sentence(tmp_path):
    """
    A settings file that is not there is not ignored.
    """
    with pytest.raises(SettingsError, match=r"gone\.toml: cannot be read: No such file"):
        read_config(str(tmp_path / "gone.toml"), NAMES)


@pytest.mark.parametrize("key", ["client_secret", "client-id", "ACCESS_TOKEN", "access-token-file"])
def test_a_file_is_no_place_for_secrets(in_file, key):
    """
    A credential in the settings file is refused, not repeated, and its place is named.
    """
    with pytest.raises(SettingsError, match=r"does not belong .* set BATCHFETCH_\w+, or") as caught:
        in_file(f"{key} = 'hunter2'")
    assert "hunter2" not in str(caught.value)


# Misspelt variables


def test_a_misspelt_variable_is_noticed():
    """
    A variable that looks like ours and means nothing is worth a word; others are not.
    """
    environment = {
        "BATCHFETCH_CONCURENCY": "3",
        "BATCHFETCH_MAX_CALLS": "3",
        "BATCHFETCH_JSON": "1",
        "BATCHFETCH_CLIENT_SECRET_FILE": "x",
        "BATCHFETCH_CONFIG": "x",
        "BATCHFETCH_SANDBOX_WORKERS": "3",
        "HOME": "/",
    }
    (sentence,) = strange_variables(environment)
    assert sentence == (
        "the variable BATCHFETCH_CONCURENCY means nothing here; "
        "did you mean BATCHFETCH_CONCURRENCY?"
    )


# Secrets


def test_there_is_no_option_for_a_secret():
    """
    A credential on the command line is refused without being repeated.
    """
    for name in ("client-id", "client-secret", "access-token"):
        with pytest.raises(click.NoSuchOption) as caught:
            command.make_context("fetch", ["m.txt", f"--{name}=s3cret"])
        assert "s3cret" not in caught.value.format_message()
