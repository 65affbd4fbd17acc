"""
A hostile service that repeats our secrets, cut and encoded in every way, wherever it can: no run
shows eight characters of them in a row.
"""

import html
import json
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote, unquote

import pytest
import replies
from command import environment, manifest_of, run
from origin import Origin, serving
from replies import Ending, Reply, head, http, raw, ready, redirect, result, says, status

pytestmark = pytest.mark.slow

CLIENT_ID = "f3a91c77-52de-4b0e-9d3c-8e6f1a2b7c40"
SECRET = "Zq7+/w\"\\Kp%&<>'Vn4-_=Xt9.Lb2~Hd8mQ5rJ"
TOKEN = "9kX2-vB7_qLm4.Tz8Rw1~Hc6Yp3+Nd5/Gj0=Fs8u"  # 40 characters.
JWT = ".".join(
    b64encode(bytes(range(start, 256, step)) * count).decode().rstrip("=")
    for start, step, count in ((3, 7, 1), (1, 3, 9), (2, 5, 4))
)
LIMITS = (20, 40, 80, 100, 200, 1000, 4000, 4096, 8000)
"""Lengths at which something on the way may cut a text."""


def json_escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


FORMS = (
    str,
    str.upper,
    lambda text: quote(text, safe=""),
    lambda text: quote(quote(text, safe=""), safe=""),
    lambda text: json.dumps(text)[1:-1],
    json_escaped,
    html.escape,
    lambda text: b64encode(text.encode()).decode(),
    lambda text: b64encode(f"an-id:{text}".encode()).decode(),
    lambda text: b64encode(f"{CLIENT_ID}:{text}".encode()).decode(),
)


def reflections(secret: str) -> Iterator[str]:
    """
    Yield texts with *secret* in each form, cut by somebody else, and so that we would cut it.
    """
    for form in FORMS:
        text = form(secret)
        yield f"said {text} so"
        yield text[: len(text) * 9 // 10]
        yield text[len(text) // 3 :]
        yield from ("x" * (limit - len(text) * 9 // 10) + text for limit in LIMITS)
        yield from ("x" * (limit - 9) + text for limit in LIMITS)


def plain(text: str) -> str:
    """
    Return *text* fit for a line of a header.
    """
    return "".join(character for character in text if character.isprintable())


# Everywhere that a service may put a text, as replies to one question.
PLACES = {
    "status": says,
    "code": lambda text: says("Error", text),
    "code of one that is ready": lambda text: (
        lambda task: http(
            result(task, "Completed", text, data=replies.text_of(replies.png_of(task)))
        )
    ),
    "id": lambda text: http(result(text, "Pending")),
    "no JSON": lambda text: http(text.encode()),
    "half JSON": lambda text: http(b'{"taskStatus": "' + text.encode()),
    "base64": replies.carrying,
    "detail": lambda text: status(403, body=json.dumps({"detail": text}).encode()),
    "title": lambda text: status(500, body=json.dumps({"title": [text]}).encode()),
    "words of OAuth": lambda text: status(
        403, body=json.dumps({"error": text[:9], "error_description": text}).encode()
    ),
    "page": lambda text: status(502, body=text.encode()),
    "reason phrase": lambda text: raw(
        f"HTTP/1.1 418 {plain(text)}\r\nContent-Length: 0\r\n\r\n".encode("latin-1")
    ),
    "location": lambda text: redirect(plain(text)),
    "location of a host": lambda text: redirect(f"https://{plain(text)}/{plain(text)}?{text[:3]}"),
    "retry after": lambda text: status(500, f"Retry-After: {plain(text)}"),
    "content type": lambda text: http(b"{}", 200, f"Content-Type: {plain(text)}"),
    "content encoding": lambda text: http(b"{}", 200, f"Content-Encoding: {plain(text)}"),
    "transfer encoding": lambda text: http(b"{}", 200, f"Transfer-Encoding: {plain(text)}"),
    "cookie": lambda text: http(b"{}", 200, f"Set-Cookie: {plain(text)}={plain(text)}"),
    "cookie's name": lambda text: http(b"{}", 200, f"Set-Cookie: a@{plain(text)} b={plain(text)}"),
    "length": lambda text: raw(head(200, f"Content-Length: {plain(text)}"), ending=Ending.CLOSE),
    "challenge": lambda text: status(405, f"WWW-Authenticate: Bearer {plain(text)}"),
    "status line": lambda text: raw(f"{plain(text)}\r\n\r\n".encode(), ending=Ending.CLOSE),
    "header line": lambda text: raw(
        f"HTTP/1.1 200 OK\r\n{plain(text)}\r\n\r\n".encode(), ending=Ending.CLOSE
    ),
    "header with a NUL": lambda text: raw(
        f"HTTP/1.1 200 OK\r\nX-Echo: {plain(text)}\0\r\n\r\n".encode(), ending=Ending.CLOSE
    ),
    "chunk": lambda text: raw(
        head(200, "Transfer-Encoding: chunked") + f"{plain(text)}\r\n{{}}\r\n0\r\n\r\n".encode(),
        ending=Ending.CLOSE,
    ),
}


def script_of(secrets: list[str]) -> dict[str, list[Reply]]:
    """
    Return the answers about each task of a run: every place with some of the texts, and many texts
    in messages and warnings.
    """
    texts = [text for secret in secrets for text in reflections(secret)]
    script = {}
    for at in range(0, len(texts), 90):
        some = texts[at : at + 90]
        script[f"m{at}"] = [says("Error", messages=some)]
        script[f"w{at}"] = [says("NotExist", warnings=some, messages=[some[0]])]
    for at in range(len(texts)):
        # Each place has another share of the texts, and every kind of them.  Places take turns, and
        # usable answers are among them: a run holds or stops when there is none.
        for number, place in enumerate(PLACES.values()):
            if at % 9 == number % 9:
                script[f"p{number}-{at}"] = [place(texts[at])]
        script[f"r{at}"] = [ready]
    return script


def pieces_of(text: str) -> set[str]:
    """
    Return all pieces of *text* of eight characters, in lower case.
    """
    lower = text.lower()
    return {lower[at : at + 8] for at in range(len(lower) - 7)}


def found_in(said: str, secrets: list[str]) -> set[str]:
    """
    Return the pieces of *secrets* in *said*, also where it has them escaped or in base64.
    """
    encoded = [b64encode(f"{'x' * n}{secret}".encode()) for secret in secrets for n in range(3)]
    forms = (*secrets, *(form.decode()[4:-4] for form in encoded))
    unicode = said.replace("\\u00", "%").replace("\\/", "/").replace('\\"', '"')
    views = {said, unquote(said), unquote(unquote(said)), unquote(unicode), html.unescape(said)}
    return set().union(*map(pieces_of, forms)) & set().union(*map(pieces_of, views))


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("token", [TOKEN, JWT], ids=["token", "jwt"])
def test_reflected_token_is_shown_nowhere(tmp_path, token, log_format):
    """
    Neither log nor report nor summary has eight characters of a token that the service repeats.
    """
    script = script_of([token])
    # Regular answers among them: a service that only fails or refuses would be no more asked.
    tasks = [
        each
        for number, task_id in enumerate(script)
        for each in ([task_id] if number % 4 else [task_id, f"good{number}"])
    ]
    with serving(Origin(script)) as origin:
        finished = run(
            *("fetch", manifest_of(tmp_path, tasks), "-o", tmp_path / "out", "--json"),
            *("--base-url", origin.base_url, "--attempts", 1, "--read-timeout", 1),
            *("--log-level", "debug", "--log-format", log_format, "--concurrency", 32),
            env=environment(BATCHFETCH_ACCESS_TOKEN=token),
        )
    assert finished.code == 3, finished.stderr[-2000:]
    report = (tmp_path / "out" / "report.jsonl").read_text()
    assert report.count("***") > len(script) // 2, "nothing was repeated, so nothing is shown"
    assert found_in(report, [token]) == set()
    assert found_in(finished.stderr, [token]) == set()
    assert found_in(finished.stdout, [token]) == set()


# What the token endpoint may answer; a refusal ends the run.
TOKEN_PLACES = {
    "description": lambda text: http(
        json.dumps({"error": "invalid_client", "error_description": text}).encode()
    ),
    "code": lambda text: status(400, body=json.dumps({"error": text}).encode()),
    "detail": lambda text: status(401, body=json.dumps({"detail": text}).encode()),
    "title with 200": lambda text: http(json.dumps({"title": text}).encode()),
    "page": lambda text: status(403, body=text.encode()),
    "busy": lambda text: status(503, body=text.encode()),
    "type": lambda text: http(
        json.dumps({"access_token": "gr4nted-t0ken", "token_type": text}).encode()
    ),
    "reason phrase": PLACES["reason phrase"],
    "location": PLACES["location"],
    "header line": PLACES["header line"],
    "cookie's name": PLACES["cookie's name"],
}


@pytest.mark.parametrize("place", TOKEN_PLACES.values(), ids=TOKEN_PLACES)
def test_reflected_credentials_are_shown_nowhere(tmp_path, place):
    """
    Neither client id nor secret is shown, whatever the token endpoint repeats of them.
    """
    texts = [*reflections(SECRET), *reflections(CLIENT_ID)]
    for text in texts[:: len(texts) // 4]:
        with serving(Origin(tokens=[place(text)] * 2)) as origin:
            finished = run(
                *("fetch", manifest_of(tmp_path, ["a"]), "-o", tmp_path / "out", "--json"),
                *("--base-url", origin.base_url, "--attempts", 2, "--log-level", "debug"),
                env=environment(
                    BATCHFETCH_ACCESS_TOKEN="",
                    BATCHFETCH_CLIENT_ID=CLIENT_ID,
                    BATCHFETCH_CLIENT_SECRET=SECRET,
                ),
            )
        assert finished.code in {0, 5, 8}
        assert found_in(finished.stderr + finished.stdout, [SECRET, CLIENT_ID]) == set()
