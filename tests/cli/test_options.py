"""
Options: generated from the models, and validated by them, from every source of values.
"""

import os
import re

import click
import pytest
from click.testing import CliRunner

from batchfetch.cli.config_file import read_config
from batchfetch.cli.fetch import command
from batchfetch.cli.options import PREFIX, RunOptions, names_of, options_of
from batchfetch.cli.run import misspelt_variables
from batchfetch.cli.sources import resolve
from batchfetch.errors import SettingsError
from batchfetch.manifest import ManifestFormat
from batchfetch.setting_errors import UNSHOWN
from batchfetch.settings import Durability, Settings

NAMES = names_of(Settings)
SWITCHES = {name for name, field in Settings.model_fields.items() if field.annotation is bool}


def typed(**values):
    """
    The words of the command line that give these values to the options of these names.
    """
    words = []
    for name, value in values.items():
        option = name.replace("_", "-")
        match value:
            case True:
                words.append(f"--{option}")
            case False:
                words.append(f"--no-{option}")
            case _:
                words.append(f"--{option}={value}")
    return words


def given(words=(), environment=(), config=None):
    """
    The context of `fetch` with these *words*, variables and settings file.
    """
    if config is not None:
        words = [*words, f"--config={config}"]
    foreign = dict.fromkeys(name for name in os.environ if name.startswith(PREFIX))
    with CliRunner().isolation(env={**foreign, **dict(environment)}):
        return command.make_context("fetch", ["m.txt", *words])


@pytest.fixture
def in_file(tmp_path):
    """
    A settings file with this text.
    """

    def in_file(text, name="night.toml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return in_file


# What is offered


@pytest.mark.parametrize("model", [Settings, RunOptions])
def test_every_field_is_an_option_with_its_docstring_as_help(model):
    """
    An option has its field's name, and says what the field's docstring says.
    """
    for option, (name, field) in zip(
        options_of(model, PREFIX), model.model_fields.items(), strict=True
    ):
        assert option.name == (field.alias or name)
        assert option.help.startswith(field.description.removesuffix("."))


def test_help_shows_defaults_as_they_would_be_typed():
    """
    Each default that help shows is taken back as the same value.
    """
    shown = {
        option.name: found[1]
        for option in options_of(Settings, PREFIX)
        if (found := re.search(r"\[default: ([^ ]+)\]$", option.help))
    }
    assert shown.pop("report") == "OUTPUT/report.jsonl"
    assert shown["patience"] == "30m"
    assert shown["max_image_bytes"] == "1GiB"
    assert resolve(Settings, given(typed(**shown))) == Settings()
    unset = {name for name in NAMES if getattr(Settings(), name) in (None, False)}
    assert set(shown) == set(NAMES) - unset


@pytest.mark.parametrize(
    ("name", "metavar"),
    [
        ("output", "DIR|URL"),
        ("base_url", "URL"),
        ("concurrency", "N"),
        ("rate", "RATE"),
        ("polling", "thrifty|prompt"),
        ("price_per_call", "X"),
        ("max_calls", "N"),
        ("max_runtime", "DURATION"),
        ("max_image_bytes", "SIZE"),
        ("retry", "OUTCOME[,…]"),
        ("fail_on", "OUTCOME[,…]"),
    ],
)
def test_help_says_what_an_option_takes(name, metavar):
    """
    What stands for the value is taken from the field's type or its parser.
    """
    options = {option.name: option for option in options_of(Settings, PREFIX)}
    assert options[name].metavar == metavar


def test_a_switch_can_be_switched_off():
    """
    What a file or the environment switches on, the command line can undo.
    """
    options = {option.name: option for option in options_of(Settings, PREFIX)}
    assert options["overwrite"].secondary_opts == ["--no-overwrite"]
    ctx = given(typed(overwrite=False), {"BATCHFETCH_OVERWRITE": "yes"})
    assert resolve(Settings, ctx).overwrite is False


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
        ctx = given(typed(manifest_format=known.value))
        assert resolve(RunOptions, ctx).manifest_format == known
    with pytest.raises(SettingsError, match=f"should be .*'{known}'"):
        resolve(RunOptions, given(typed(manifest_format="xlsx")))


# What was given


def test_the_nearer_place_wins(in_file):
    """
    An option beats the environment, the environment a file, a file the default.
    """
    ctx = given(
        typed(rate="1/s"),
        {"BATCHFETCH_RATE": "2/s", "BATCHFETCH_ATTEMPTS": "2"},
        in_file("rate = '3/s'\nattempts = 3\nconcurrency = 3\n"),
    )
    settings = resolve(Settings, ctx)
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
    ctx = given(environment={"BATCHFETCH_OVERWRITE": text})
    assert resolve(Settings, ctx).overwrite is value


def test_an_empty_variable_says_nothing():
    """
    A variable that is set to nothing is as good as unset.
    """
    ctx = given(environment={"BATCHFETCH_RATE": "", "BATCHFETCH_CONFIG": ""})
    assert resolve(Settings, ctx) == Settings()


def test_a_file_switches_on_and_a_variable_off(in_file):
    """
    A switch that is off is a value, not the absence of one.
    """
    config = in_file("overwrite = true\ncompressed = false\n")
    settings = resolve(Settings, given((), {"BATCHFETCH_OVERWRITE": "no"}, config))
    assert (settings.overwrite, settings.compressed) == (False, False)
    ctx = given((), {"BATCHFETCH_CONFIG": str(config)})
    assert resolve(Settings, ctx).overwrite is True


def test_help_is_shown_without_reading_the_file_of_a_variable():
    """
    A settings file that is missing does not keep help from being shown.
    """
    environment = {"BATCHFETCH_CONFIG": "gone.toml"}
    done = CliRunner(env=environment).invoke(command, ["--help"])
    assert (done.exit_code, done.output[:6]) == (0, "Usage:")


def test_a_file_may_use_toml_values_or_the_words_of_the_command_line(in_file):
    """
    Numbers, switches and lists may be TOML's own; keys have dashes or underscores.
    """
    config = in_file(
        'max-runtime = "2h"\nmax_calls = 100\noverwrite = true\ndurability = "full"\n'
        'retry = ["Failed", "Error"]\nprice-per-call = 0.03\noutput = "night"\n'
        'fail-on = ["Failed"]\n'
    )
    settings = resolve(Settings, given(config=config))
    assert settings.max_runtime == 7200
    assert settings.max_calls == 100
    assert settings.overwrite
    assert settings.durability is Durability.FULL
    assert settings.retry == {"Failed", "Error"}
    assert settings.fail_on == {"Failed"}
    assert settings.price_per_call == 0.03
    assert str(settings.output) == "night"


@pytest.mark.parametrize(
    ("words", "environment", "sentence"),
    [
        (
            typed(rate="fast"),
            {},
            "--rate: 'fast' is not a valid rate; use 20, 20/s or 600/m",
        ),
        (
            typed(concurrency="0"),
            {},
            "--concurrency: '0' is not valid; it should be greater than 0",
        ),
        (typed(patience="0s"), {}, "--patience: '0s' is not valid; it should be greater than 0"),
        (
            typed(polling="x"),
            {},
            "--polling: 'x' is not valid; it should be 'thrifty' or 'prompt'",
        ),
        (
            (),
            {"BATCHFETCH_MAX_CALLS": "many"},
            "BATCHFETCH_MAX_CALLS: 'many' is not valid; it should be a valid integer",
        ),
        (
            (),
            {"BATCHFETCH_OVERWRITE": "maybe"},
            "BATCHFETCH_OVERWRITE: 'maybe' is not valid; it should be true or false",
        ),
        (
            typed(rate="1"),
            {"BATCHFETCH_RATE": "fast", "BATCHFETCH_ATTEMPTS": "-1"},
            "BATCHFETCH_ATTEMPTS: '-1' is not valid; it should be greater than 0",
        ),
        (typed(rate="Input"), {}, "--rate: 'Input' is not a valid rate; use 20, 20/s or 600/m"),
        (
            typed(polling="Input"),
            {},
            "--polling: 'Input' is not valid; it should be 'thrifty' or 'prompt'",
        ),
        (
            typed(output="a", report="a"),
            {},
            (
                "report and output are the same path, and output is a folder; "
                "give the report a name of its own, or leave it out"
            ),
        ),
        (
            typed(attempts="0", polling="x"),
            {},
            (
                "--attempts: '0' is not valid; it should be greater than 0; "
                "--polling: 'x' is not valid; it should be 'thrifty' or 'prompt'"
            ),
        ),
    ],
)
def test_a_wrong_value_is_one_sentence_that_says_where_it_came_from(words, environment, sentence):
    """
    The sentence names the option or the variable, and the value.
    """
    with pytest.raises(SettingsError) as caught:
        resolve(Settings, given(words, environment))
    assert str(caught.value) == sentence


TAKES_ANY_TEXT = {"output", "report", "ca_file", "id_column", "name_column"}
NAMES_WHAT_IS_WRONG = {"endpoint"}


@pytest.mark.parametrize("place", ["option", "variable", "file"])
@pytest.mark.parametrize("name", sorted({*NAMES} - TAKES_ANY_TEXT - NAMES_WHAT_IS_WRONG))
def test_a_wrong_value_is_not_repeated(in_file, name, place):
    """
    A secret in the wrong place is not in the sentence.
    """
    secret = "eyJhbGciOiJIUzI1NiJ9.s3cret"
    with pytest.raises((SettingsError, click.BadOptionUsage)) as caught:
        match place:
            case "option":
                ctx = given(typed(**{name: secret}))
            case "variable":
                ctx = given(environment={PREFIX + name.upper(): secret})
            case _:
                ctx = given(config=in_file(f"{name} = '{secret}'"))
        resolve(Settings, ctx)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", sorted({*NAMES} - TAKES_ANY_TEXT - SWITCHES - {"base_url"}))
def test_a_short_wrong_value_is_shown(name):
    """
    A word that is too short for a credential is repeated, so that the mistake can be seen.
    """
    with pytest.raises(SettingsError, match=f"^--{name.replace('_', '-')}: 'wrong!' is no"):
        resolve(Settings, given(typed(**{name: "wrong!"})))


@pytest.mark.parametrize("name", sorted(UNSHOWN))
@pytest.mark.parametrize("value", ["4711", "['s3cret']"])
def test_urls_and_paths_are_never_shown(in_file, name, value):
    """
    They may contain a password or a person's name, however short they are.
    """
    with pytest.raises(SettingsError, match=rf"night\.toml: {name}: the value is not [a-z; ]+$"):
        resolve(Settings, given(config=in_file(f"{name} = {value}")))


def test_tables_and_lists_are_not_shown(in_file):
    """
    What a file has in place of a word or a number may contain anything.
    """
    with pytest.raises(
        SettingsError, match=r"rate: the value is not valid; it should be a valid n"
    ):
        resolve(Settings, given(config=in_file("rate = ['s3cret']")))


# The settings file


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("conurrency = 3", "conurrency is not a setting; did you mean concurrency?"),
        ("wholly-other = 3", "wholly-other is not a setting; batchfetch help options lists them"),
        ("rate = 'fast'", "rate: 'fast' is not a valid rate; use 20, 20/s or 600/m"),
        ("[rate]\nof = 3", "rate: the value is not valid; it should be a valid number"),
        (
            "max-calls = 1\nmax_calls = 2",
            "max_calls and another key are both the setting max_calls; remove one of them",
        ),
        (
            'report = "r.jsonl"\n[report]\nall = true',
            "report cannot be both a key and a table; leave out the key, and give the path of",
        ),
        ("rate = 1\nrate 2", "is not TOML: Expected '=' after a key in a key/value pair"),
        (b"\xff\xfe", "is not UTF-8 text; save it as UTF-8"),
        ("config = 'x'", "config is not a setting"),
    ],
)
def test_a_wrong_file_is_one_sentence_that_names_it(in_file, tmp_path, text, sentence):
    """
    The sentence names the file, the key, and the line where the file is no TOML.
    """
    with pytest.raises(SettingsError, match=re.escape(f"{tmp_path}/night.toml: {sentence}")) as e:
        resolve(Settings, given(config=in_file(text)))
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
        given(config=in_file(f"{key} = 'hunter2'"))
    assert "hunter2" not in str(caught.value)


# The manifest in the settings file


@pytest.mark.parametrize(
    ("text", "manifests"),
    [
        ('manifest = "night.csv"', ["night.csv"]),
        ('manifest = ["a.txt", "b.csv"]', ["a.txt", "b.csv"]),
        ('manifest = "~/night.csv"', ["/home/ocr/night.csv"]),
    ],
)
def test_the_manifest_of_the_file(in_file, text, manifests):
    """
    The key stands for MANIFEST, one path or several; a `~` is the user's home folder.
    """
    config = in_file(text)
    with CliRunner().isolation(env={"HOME": "/home/ocr"}):
        ctx = command.make_context("fetch", [f"--config={config}"])
        assert ctx.params["manifests"] == manifests
        named = command.make_context("fetch", ["m.txt", f"--config={config}"])
        assert named.params["manifests"] == ["m.txt"]


def test_no_manifest_at_all(in_file):
    """
    Without a MANIFEST and without the key there is nothing to fetch.
    """
    for text in ("rate = 1", "manifest = []"):
        with pytest.raises(click.UsageError, match="no MANIFEST is given; name one, or set"):
            command.make_context("fetch", [f"--config={in_file(text)}"])


@pytest.mark.parametrize("value", ["3", "[3]", "{ path = 'x' }"])
def test_a_manifest_that_is_no_path(in_file, value):
    """
    What is no path is refused with the file's name.
    """
    config = in_file(f"manifest = {value}")
    with pytest.raises(SettingsError, match=r"night\.toml: manifest is not valid; give a path, or"):
        command.make_context("fetch", [f"--config={config}"])


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
    (sentence,) = misspelt_variables(command, environment)
    assert sentence == (
        "unknown variable BATCHFETCH_CONCURENCY; did you mean BATCHFETCH_CONCURRENCY?"
    )


def test_a_variable_that_resembles_none_has_no_suggestion():
    """
    That all of them begin alike says nothing of which one was meant.
    """
    (sentence,) = misspelt_variables(command, {"BATCHFETCH_FOO": "1"})
    assert sentence == "unknown variable BATCHFETCH_FOO; it has no effect, so unset it"


# Secrets


def test_there_is_no_option_for_a_secret():
    """
    A credential on the command line is refused without being repeated.
    """
    for name in ("client-id", "client-secret", "access-token"):
        with pytest.raises(click.NoSuchOption) as caught:
            command.make_context("fetch", ["m.txt", f"--{name}=s3cret"])
        assert "s3cret" not in caught.value.format_message()
