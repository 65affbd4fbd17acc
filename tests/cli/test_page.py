"""
The page of `batchfetch report -o night.html`: its text, its links, and what a browser makes of it.
"""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from browser import CHROMIUM, look_at, print_to
from command import ROOT, environment, run

from batchfetch.cli.charts import chart, spans_of
from batchfetch.report.interruptions import Interruption
from batchfetch.report.periods import Period
from batchfetch.report.runs import Run
from batchfetch.report.timeline import Timeline

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

# Text that would be markup, end a script or an attribute, or turn the page's text around.
NASTY = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&lt;\u202e\x07"

# What the page is made of.
TAGS = {
    *("html", "head", "meta", "link", "title", "style", "body", "header", "nav", "main", "section"),
    *("h1", "h2", "h3", "p", "a", "div", "dl", "dt", "dd", "small", "ul", "li", "span", "figure"),
    *("figcaption", "svg", "rect", "table", "thead", "tbody", "tr", "th", "td", "button", "input"),
    *("label", "pre", "code", "img", "script", "wbr"),
}


class Parsed(HTMLParser):
    """
    The elements of a page, each with its attributes, and its text.
    """

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        """
        The attributes of each element of this kind.
        """
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(folder, *paths, group_by="customer"):
    """
    Write a page about these reports into *folder*; return its path.
    """
    path = folder / "night & day" / "night.html"
    path.parent.mkdir(exist_ok=True)
    finished = run("report", *paths, "-o", path, "--group-by", group_by, cwd=folder)
    assert finished.code == 0, finished.stderr
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """
    A folder with the output of a real run on the stand-in, and lines with nasty text in its report.
    """
    folder = tmp_path_factory.mktemp("page")
    images = folder / "images <1>"
    finished = run(
        *("fetch", ROOT / "samples/manifest.csv", ROOT / "samples/troubled.csv"),
        *("-o", images, "--sandbox"),
        env=environment(
            BATCHFETCH_SANDBOX_PROCESSING_TIME="0", BATCHFETCH_SANDBOX_LARGEST_IMAGE="20KiB"
        ),
    )
    assert finished.code == 3, finished.stderr
    line = {
        "task_id": NASTY,
        "outcome": "Failed",
        "calls": 1,
        "reason": NASTY,
        "detail": NASTY,
        "messages": [NASTY],
        "manifest": NASTY,
        "line": 1,
        "name": NASTY,
        "finished_at": NASTY,
        "extra": {"customer": NASTY, NASTY: NASTY},
    }
    image = {"outcome": "Completed", "reason": None, "detail": None, "warnings": [NASTY]}
    lines = [
        line,
        line | image | {"task_id": "gone", "path": NASTY, "bytes": 5},
        line | image | {"task_id": "up", "path": "//example.com/x.png"},
        line | image | {"task_id": "script", "path": "javascript:alert(1)"},
        line | image | {"task_id": "absolute", "path": str(ROOT / "README.md")},
        line | image | {"task_id": "above", "path": "../above.png"},
        line | image | {"task_id": "long", "path": "x" * 5000},
    ]
    (folder / "above.png").touch()
    with (images / "report.jsonl").open("a") as file:
        file.writelines(json.dumps(each) + "\n" for each in lines)
    with (images / "report.runs.jsonl").open("a") as file:
        began = {"run": "x", "began_at": "2026-01-01T00:00:00Z", "manifests": [NASTY]}
        file.write(json.dumps(began | {"settings": {"endpoint": NASTY}, "version": NASTY}) + "\n")
    return folder


@pytest.fixture(scope="module")
def page(folder):
    """
    The page about that output.
    """
    return page_of(folder, "images <1>")


@pytest.fixture(scope="module")
def parsed(page):
    """
    Its elements and its text.
    """
    return Parsed(page.read_text(encoding="utf-8"))


# Without a browser


def test_text_is_never_markup(page, parsed):
    """
    Whatever manifest and service say, the elements are the page's own, and so is the only script.
    """
    assert {tag for tag, _ in parsed.elements} == TAGS
    assert len(parsed.all("script")) == 1
    assert not [name for _, found in parsed.elements for name in found if name.startswith("on")]
    assert parsed.text.count("<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&lt;") >= 8
    assert not re.search("[\u202e\x07]", page.read_text(encoding="utf-8"))


def test_nothing_comes_from_elsewhere(parsed):
    """
    Links lead within the page or to files beside it; a browser may not load anything else.
    """
    links = [
        found.get("href") or found.get("src") for tag, found in parsed.elements if tag != "use"
    ]
    for link in filter(None, links):
        assert link == "data:," or re.match(r"#\w+$|\.\./images%20%3C1%3E/[\w./-]+\.png$", link)
    (policy,) = (
        found["content"]
        for found in parsed.all("meta")
        if found.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "'self' file: data:"


def test_only_the_pages_own_script_may_run(page, parsed):
    """
    The policy names the script by its hash.
    """
    (script,) = re.findall(r"<script>(.*?)</script>", page.read_text(encoding="utf-8"), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in json.dumps(parsed.all("meta"))


def test_images_are_linked_relatively(page, parsed):
    """
    Each image that is there has a link and a picture that is loaded when it comes into view; of
    one that is not there, and of one outside of the output, the page says so.
    """
    pictures = parsed.all("img")
    links = [found["href"] for found in parsed.all("a") if found["href"].endswith(".png")]
    assert len(pictures) == len(links) == 24
    assert {found["loading"] for found in pictures} == {"lazy"}
    assert [found["src"] for found in pictures] == links
    for link in links:
        assert (page.parent / unquote(link)).is_file()
    assert parsed.text.count("not there") == 6


def test_the_page_has_the_figures(folder, parsed):
    """
    Its parts are those that the terminal shows, and each has its link at the top.
    """
    printed = run("report", "images <1>", "--json", cwd=folder)
    figures = json.loads(printed.stdout)
    assert f"{figures['tasks']} tasks: " in parsed.text
    for words in (
        f"{figures['calls']}",
        "service_error",
        "--retry NotExist",
        "samples/troubled.csv",
    ):
        assert words in parsed.text
    sections = [found["id"] for found in parsed.all("section")]
    assert sections == ["figures", "time", "waits", "wrong", "groups", "runs", "images"]
    anchors = [found["href"] for found in parsed.all("a") if found["href"].startswith("#")]
    assert set(anchors) == {f"#{name}" for name in sections}


def test_a_page_of_nothing_but_images_has_no_empty_parts(tmp_path):
    """
    Parts without content are left out.
    """
    (tmp_path / "images").mkdir()
    line = {"task_id": "a", "outcome": "Completed", "calls": 0}
    (tmp_path / "images/report.jsonl").write_text(json.dumps(line) + "\n")
    assert run("report", "-o", tmp_path / "x.html", cwd=tmp_path).code == 0
    parsed = Parsed((tmp_path / "x.html").read_text())
    assert [found["id"] for found in parsed.all("section")] == ["figures", "images"]


def test_images_of_a_report_elsewhere_are_found(folder, tmp_path):
    """
    A report that is not in its output has the output in its log of runs.
    """
    output, own = tmp_path / "images", tmp_path / "own" / "own.jsonl"
    how = ("-o", output, "-r", own, "--sandbox")
    assert run("fetch", ROOT / "samples/ids.txt", *how, cwd=tmp_path).code == 3
    page = page_of(tmp_path, own, group_by="manifest")
    pictures = Parsed(page.read_text()).all("img")
    assert [found["src"] for found in pictures]
    assert all((page.parent / unquote(found["src"])).is_file() for found in pictures)


def test_an_image_is_shown_beside_what_was_submitted(tmp_path):
    """
    If the manifest says where that is, and a browser can show it; the link is relative, too.
    """
    output = tmp_path / "images"
    output.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        (output / name).touch()
    (tmp_path / "scan 1.jpg").touch()
    (tmp_path / "scan.tiff").touch()
    sources = {"a": "scan 1.jpg", "b": "scan.tiff", "c": "gone.jpg"}
    with (output / "report.jsonl").open("w") as file:
        for name, source in sources.items():
            line = {"task_id": name, "outcome": "Completed", "calls": 1, "path": f"{name}.png"}
            file.write(json.dumps(line | {"extra": {"source": f"{tmp_path / source}"}}) + "\n")
    page = page_of(tmp_path, output, group_by="source")
    pictures = [found["src"] for found in Parsed(page.read_text()).all("img")]
    assert pictures == ["../scan%201.jpg", *(f"../images/{name}.png" for name in "abc")]


@pytest.mark.slow
def test_the_page_of_many_tasks_stays_small(tmp_path):
    """
    Of a hundred thousand tasks, one in ten failed, it shows some of each kind, and says so.
    """
    (tmp_path / "images").mkdir()
    with (tmp_path / "images/report.jsonl").open("w") as file:
        for number in range(100_000):
            line = {"task_id": f"task-{number}", "outcome": "Completed", "calls": 1}
            line |= {"path": f"task-{number}.png", "finished_at": "2026-01-01T00:00:00Z"}
            if number % 10 == 0:
                line |= {"outcome": "Failed", "reason": "timeout", "detail": "x" * 1000}
            if number in {50, 99_990}:
                line |= {"outcome": "Error", "reason": "service_error"}
            if number == 99_999:
                line |= {"warnings": ["The resolution is low."]}
            file.write(json.dumps(line) + "\n")
    assert run("report", "-o", "x.html", cwd=tmp_path).code == 0
    text = (tmp_path / "x.html").read_text()
    assert len(text) < 2_000_000
    parsed = Parsed(text)
    assert (
        "1000 of 10000 tasks: batchfetch report … --only Error,Failed -o wrong.csv" in parsed.text
    )
    assert "On paper the first 100 of 1000." in parsed.text
    assert "1500 of 90000 images" in parsed.text
    # What is rare is there, too.
    assert parsed.text.count("service_error") >= 3
    assert "The resolution is low." in parsed.text


# Charts


def period(*seconds, began=0, ended=None, interruptions=()):
    """
    The period of a run with an image at each of these seconds.
    """
    timeline = Timeline()
    for second in seconds:
        timeline.add(second - 1.0, float(second), calls=2, is_image=True)
    run = Run(run="x", began_at=began, ended_at=ended, interruptions=interruptions)
    return Period("report.jsonl", run, timeline)


def interruption(cause, since, till):
    """
    An outage or a pause of a run.
    """
    words = {"outage": "example.com cannot be reached", "pause": "HTTP 429"}[cause]
    instant = {"began_at": since, "ended_at": till}
    return Interruption(cause=cause, seconds=till - since, reason=words, **instant)


def test_a_gap_is_seen():
    """
    Where nothing was decided for long the chart is shaded, and says from when and for how long.
    """
    (span,) = spans_of([period(*range(1, 50), *range(650, 700), began=0, ended=700)], [])
    text = chart(span)
    assert text.count('class="gap"') == 2
    assert "No outcome for at least 9 min 52 s from 00:00:56Z on." in text
    assert max(text.count('class="image"'), text.count('class="call"')) <= 121


def test_outages_and_pauses_are_told_apart():
    """
    Each has its own shape, also without colours, and its own words; a gap that neither explains
    stays one.
    """
    busy = period(
        *(*range(1, 50), *range(350, 400), *range(700, 750)),
        began=0,
        ended=1000,
        interruptions=[interruption("outage", 60, 340), interruption("pause", 760, 990)],
    )
    (span,) = spans_of([busy], [])
    text = chart(span)
    assert [text.count(f'class="{kind}"') for kind in ("outage", "mark", "pause", "gap")] == [2] * 4
    parsed = Parsed(text)
    assert "Held for 4 min 40 s from 00:01:00Z on, because the service could not be" in parsed.text
    assert "reached: example.com cannot be reached." in parsed.text
    assert "Paused for 3 min 50 s from 00:12:40Z on, because the service had asked" in parsed.text
    assert parsed.text.count("No outcome") == 1
    assert "No outcome for at least 4 min 48 s from 00:06:40Z on." in parsed.text


def test_a_moment_is_seen_in_a_long_night():
    """
    What lasted for seconds is drawn, and what came often is one sentence.
    """
    pauses = [interruption("pause", n * 600, n * 600 + 2) for n in range(1, 40)]
    busy = period(*range(1, 28_800, 5), began=0, ended=28_800, interruptions=pauses)
    text = chart(spans_of([busy], [])[0])
    widths = re.findall(r'class="pause" x="[\d.]+" width="([\d.]+)"', text)
    assert [float(width) for width in widths] == [2.0] * 2 * 39
    assert "Paused 39 times for 1 min 18 s in all, from 00:10:00Z to 06:30:02Z, because" in text


def test_a_gap_is_seen_in_spite_of_calls():
    """
    During an outage tasks are begun, and none is decided.
    """
    begun = period(*range(1, 50), *range(650, 700), began=0, ended=700)
    for second in range(50, 650):
        begun.timeline.add(float(second), 690.0, calls=2, is_image=True)
    (span,) = spans_of([begun], [])
    assert "No outcome for at least 9 min 52 s from 00:00:56Z on." in chart(span)


def test_an_outage_at_the_end_is_seen():
    """
    Until the run ended nothing was decided.
    """
    (span,) = spans_of([period(*range(1, 50), began=0, ended=950)], [])
    assert "No outcome for at least 14 min 54 s from 00:00:56Z on." in chart(span)


def test_a_run_without_a_gap_has_none():
    """
    Steps without an outcome are no gap while they are short.
    """
    (span,) = spans_of([period(*range(1, 500, 9), began=0, ended=500)], [])
    assert 'class="gap"' not in chart(span)


def test_runs_at_the_same_time_are_one_chart():
    """
    Those of shards, for instance; runs one after the other have a chart each, six at most.
    """
    shards = [period(*range(1, 50), began=0, ended=60), period(*range(30, 90), began=20, ended=99)]
    (span,) = spans_of(shards, [])
    assert (span.begin, span.end, span.runs) == (0, 99, 2)
    assert "2 runs at once" in chart(span)
    nights = [period(1000 * n + 5, began=1000 * n, ended=1000 * n + 9) for n in range(9)]
    assert [span.begin for span in spans_of(nights, [])] == [3000, 4000, 5000, 6000, 7000, 8000]


def test_runs_in_which_nothing_was_decided_have_no_chart():
    """
    Nor have lines without a time.
    """
    assert spans_of([period()], [Period("x", None, None)]) == []


# In a browser


@in_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [375, 1280])
def test_the_page_fits_and_its_images_are_there(page, width):
    """
    From a file, on a telephone and on a desk: nothing to scroll sideways, every image is loaded.
    """
    found = look_at(
        page,
        """
        const wide = Array.from(page.querySelectorAll("body *"))
          .filter((one) => one.getBoundingClientRect().right > view.innerWidth + 0.5)
          .filter((one) => !one.classList.contains("skip"));
        return {
          width: view.innerWidth,
          scroll: page.documentElement.scrollWidth,
          wide: wide.map((one) => one.outerHTML.slice(0, 100)),
          pictures: pictures.map((one) => one.naturalWidth > 0),
          filters: Array.from(page.querySelectorAll(".filter")).map((one) => one.hidden),
          stray: page.querySelectorAll("img[src=x], script").length,
        };
        """,
        width=width,
    )
    assert found == {
        "width": width,
        "scroll": width,
        "wide": [],
        "pictures": [True] * 24,
        "filters": [False, False],
        "stray": 1,
    }


@in_browser
@pytest.mark.slow
def test_filters_work_from_the_keyboard(page):
    """
    Words narrow the rows and the images, a reason fills in its words, Escape clears them; all that
    does something can be reached with the Tab key.
    """
    found = look_at(
        page,
        """
        const shown = (selector) => Array.from(page.querySelectorAll(selector))
          .filter((one) => !one.hidden).length;
        const type = (name, text) => {
          const field = page.getElementById(name);
          field.value = text;
          field.dispatchEvent(new view.Event("input"));
        };
        const found = { rows: shown("#wrong-rows tbody tr"), images: shown("#images li") };
        type("wrong-filter", "NOTEXIST letters/forgotten");
        found.narrowed = shown("#wrong-rows tbody tr");
        found.said = page.getElementById("wrong-filter-count").textContent;
        found.bars = shown("#wrong .bars tr");
        page.getElementById("wrong-filter").dispatchEvent(
          new view.KeyboardEvent("keydown", { key: "Escape" }));
        found.cleared = shown("#wrong-rows tbody tr");
        Array.from(page.querySelectorAll("button"))
          .find((one) => one.textContent === "Error service_error").click();
        found.clicked = shown("#wrong-rows tbody tr");
        found.focused = page.activeElement.id;
        type("image-filter", "box-7");
        found.box = shown("#images li");
        type("image-filter", "<script>");
        found.nasty = shown("#images li");
        found.reachable = Array.from(page.querySelectorAll("a, button, input"))
          .every((one) => one.tabIndex === 0);
        return found;
        """,
    )
    assert found == {
        "rows": 7,
        "images": 30,
        "narrowed": 1,
        "said": "1 of 7 shown",
        "bars": 7,
        "cleared": 7,
        "clicked": 1,
        "focused": "wrong-filter",
        "box": 8,
        "nasty": 6,
        "reachable": True,
    }


@in_browser
@pytest.mark.slow
def test_light_and_dark_are_readable(page):
    """
    In both, text and its background differ by 4.5 to 1 at least, as WCAG 2 asks for.
    """
    script = """
        const light = (colour) => {
          const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
            .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const behind = (one) => {
          const colour = view.getComputedStyle(one).backgroundColor;
          return /, 0\\)$/.test(colour) ? behind(one.parentElement) : light(colour);
        };
        const contrast = (one) => {
          const [a, b] = [light(view.getComputedStyle(one).color), behind(one)];
          return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        };
        const texts = page.querySelectorAll("h1, p, a, dt, dd, td, th, li, span:not(.bar), button");
        return [behind(page.body), Math.min(...Array.from(texts, contrast))];
    """
    light, contrast = look_at(page, script)
    assert light > 0.9
    assert contrast >= 4.5
    dark, contrast = look_at(page, script, dark=True)
    assert dark < 0.1
    assert contrast >= 4.5


@in_browser
@pytest.mark.slow
def test_a_bad_night_prints_on_a_few_sheets(tmp_path):
    """
    Of a thousand tasks that went wrong a hundred are on paper, each in a line or two.
    """
    (tmp_path / "images").mkdir()
    with (tmp_path / "images/report.jsonl").open("w") as file:
        for number in range(1000):
            line = {"task_id": f"1a7389f7-4f1c-4c11-9d1e-{number:012}", "outcome": "Failed"}
            line |= {"reason": "http_500", "detail": "HTTP 500 Internal Server Error", "calls": 5}
            line |= {"finished_at": "2026-01-01T00:00:00Z", "manifest": "/srv/ocr/manifest.csv"}
            file.write(json.dumps(line | {"line": number, "name": f"box-1/page-{number}"}) + "\n")
    assert run("report", "-o", "x.html", cwd=tmp_path).code == 0
    print_to(tmp_path / "x.pdf", tmp_path / "x.html")
    sheets = (tmp_path / "x.pdf").read_bytes().count(b"/Type /Page\n")
    assert 2 <= sheets <= 9


@in_browser
@pytest.mark.slow
def test_the_page_prints(page, tmp_path):
    """
    On paper there are the figures, on a few sheets.
    """
    print_to(tmp_path / "night.pdf", page)
    sheets = (tmp_path / "night.pdf").read_bytes().count(b"/Type /Page\n")
    assert 1 <= sheets <= 6
