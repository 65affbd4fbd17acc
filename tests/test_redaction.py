"""
`Redactor`: secrets removed whole, cut and encoded, and ordinary words left alone.
"""

import html
import json
import string
from base64 import b64decode, b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchfetch.redaction import SHORTEST_PIECE, Redactor

SECRET = "Zq7+/w\"\\Kp%&<>'Vn4-_=Xt9.Lb2~Hd8"
JWT = b64encode(bytes(range(256)) * 4).decode().rstrip("=")

secrets = st.text(string.ascii_letters + string.digits + string.punctuation, min_size=8)
texts = st.text(st.characters(codec="utf-8"), max_size=60)


def in_unicode(secret):
    """
    Return *secret* as a JSON writer that escapes everything has it.
    """
    return "".join(f"\\u{ord(character):04X}" for character in secret)


FORMS = {
    "as it is": str,
    "in upper case": str.upper,
    "in lower case": str.lower,
    "in a URL": lambda secret: quote(secret, safe=""),
    "in a URL of a URL": lambda secret: quote(quote(secret, safe=""), safe=""),
    "in JSON": lambda secret: json.dumps(secret)[1:-1],
    "in JSON of JSON": lambda secret: json.dumps(json.dumps(secret)),
    "in JSON, all escaped": in_unicode,
    "in JSON with slashes escaped": lambda secret: secret.replace("\\", "\\\\").replace("/", r"\/"),
    "in HTML": html.escape,
    "in HTML, by number": lambda secret: "".join(f"&#{ord(letter)};" for letter in secret),
    "in HTML, in hex": lambda secret: "".join(f"&#x{ord(letter):x};" for letter in secret),
    "in repr": repr,
    "in repr of bytes": lambda secret: repr(secret.encode()),
}


def pieces(secret):
    """
    Return every piece of *secret* that must not be shown.
    """
    return {
        secret[at : at + SHORTEST_PIECE].lower() for at in range(len(secret) - SHORTEST_PIECE + 1)
    }


def shows(text, secret):
    """
    Whether a long piece of *secret* is in *text*, in any case.
    """
    return any(piece in text.lower() for piece in pieces(secret))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("secret", [SECRET, JWT], ids=["secret", "jwt"])
def test_every_form_is_removed(form, secret):
    """
    A secret is recognized however it is escaped, and the text around it stays.
    """
    redacted = Redactor("another-one", secret)(f"said: {form(secret)}, and more")
    assert redacted.startswith("said: ")
    assert redacted.endswith(", and more")
    assert "***" in redacted
    assert len(redacted) < len("said: ***, and more") + 10


@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "i", "id", "an-id:", "x" * 100])
@pytest.mark.parametrize("after", ["", ":", "@h", "\n\n\n"])
def test_base64_of_it_is_removed(encode, before, after):
    """
    Base64 of a secret, as in `Authorization: Basic`, is removed wherever the secret begins in it.
    """
    text = encode(f"{before}{SECRET}{after}".encode()).decode()
    left, right = Redactor(SECRET)(text).split("***")
    assert text.startswith(left)
    assert text.endswith(right)
    whole = len(left) % 4, len(right) % 4  # What is left of quanta says little, and is not decoded.
    for rest in (left[: len(left) - whole[0]], right[whole[1] :]):
        assert not shows(b64decode(rest, altchars=b"-_").decode("latin-1"), SECRET)
    assert len(left + right) < len(b64encode(f"{before}{after}".encode())) + 8


@pytest.mark.parametrize("length", range(8, len(SECRET)))
def test_long_piece_is_removed(length):
    """
    A beginning, an end and a middle of a secret are removed if they are long.
    """
    redact = Redactor(SECRET)
    for at in range(len(SECRET) - length + 1):
        assert redact(f"({SECRET[at : at + length]})") == "(***)"


@given(secrets, texts, texts, st.data())
def test_no_long_piece_is_left(secret, before, after, data):
    """
    Whatever the secret, the text and the cut, no eight characters of the secret are left.
    """
    start = data.draw(st.integers(0, len(secret)))
    end = data.draw(st.integers(start, len(secret)))
    text = before + secret[start:end] + after
    assert not shows(Redactor(secret)(text), secret)


@given(secrets, texts)
def test_other_text_is_left_alone(secret, text):
    """
    Text that has nothing in common with the secret is itself.
    """
    assume(not {"%", "\\", "&"} & set(text))
    encoded = b64encode(secret.encode()).decode()
    assume(not shows(text, secret) and not shows(text, encoded) and len(text) < SHORTEST_PIECE)
    assert Redactor(secret)(text) == text


@pytest.mark.parametrize(
    "text", ["50 % of it", "a\\b\\c", "R&D; &c", "100%25", r"C:\users\a", "&#;"]
)
def test_escapes_of_other_text_are_left_alone(text):
    """
    What only looks like an escape is not touched.
    """
    assert Redactor(SECRET)(text) == text


@pytest.mark.parametrize("secret", ["a", "ok", "key", ""])
def test_very_short_secret_is_not_looked_for(secret):
    """
    One to three characters are in any text: to remove them would garble it and hide nothing.
    """
    text = "ok, a key a day: the task is not ok"
    assert Redactor(secret)(text) == text
    assert Redactor(secret).remove_whole(text) == text


def test_short_secret_is_removed_as_a_word():
    """
    Four to seven characters are removed where they are a word of their own, in any case.
    """
    redact = Redactor("pass", "t0ken-1")
    assert (
        redact("pass, Pass: (PASS) passing compass pass") == "***, ***: (***) passing compass ***"
    )
    assert redact("at0ken-1 t0ken-1 t0ken-12 id=t0ken-1&x") == "at0ken-1 *** t0ken-12 id=***&x"


def test_only_the_last_tokens_are_remembered():
    """
    However often a token is renewed, only some are looked for; what was added to stay stays.
    """
    redact = Redactor("lasting-secret")
    for number in range(100):
        redact.add_token(f"token<{number:03}>token")
    assert redact("token<099>token lasting-secret") == "*** ***"
    assert redact("lasting-secret token<096>token") == "*** ***"
    assert "000" in redact("token<000>token")


def test_without_secrets_nothing_is_removed():
    """
    A redactor without secrets returns the text itself.
    """
    text = "anything at all"
    assert Redactor()(text) is text


def test_whole_secret_only():
    """
    Text of our own loses a long secret that is whole, and no part of one.
    """
    redact = Redactor("production-key")
    assert redact.remove_whole("/data/production/a production-key") == "/data/production/a ***"
