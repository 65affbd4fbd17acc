"""
What is documented is true: commands, samples and examples are run, tables compared with the code.
"""

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
import yaml
from command import LIMIT, ROOT, environment, finish, read_report, start
from PIL import Image

import batchfetch
from batchfetch import errors
from batchfetch.cli.config_file import read_config
from batchfetch.cli.main import COMMANDS, load_command
from batchfetch.cli.options import names_of
from batchfetch.cli.report_files import FORMATS
from batchfetch.endpoints import ENDPOINTS
from batchfetch.exit_codes import ExitCode
from batchfetch.manifest.columns import Columns
from batchfetch.manifest.formats import ManifestFormat
from batchfetch.models import Outcome, OutcomeStatus
from batchfetch.report.figures import Figures
from batchfetch.report.runs import Run
from batchfetch.run.summary import ClusterSummary
from batchfetch.sandbox.scenario import WELL_KNOWN
from batchfetch.settings import Settings
from batchfetch.sources import Refusal
from batchfetch.submission.lines import SubmitResult, manifest_line
from batchfetch.submission.sender import LOST
from batchfetch.submission.summary import SubmitSummary
from batchfetch.submit_settings import SubmitStatus

MANUAL = ROOT / "batchfetch" / "manual"
PATHS = {path.name: path for path in [ROOT / "README.md", *sorted(MANUAL.glob("*.md"))]}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PATHS.items()}
README = TEXTS["README.md"]
RULE = {"alert", "expr", "for", "labels", "annotations"}
CLIENT = {"BATCHFETCH_CLIENT_ID": "anybody", "BATCHFETCH_CLIENT_SECRET": "anything"}


def blocks(language, *names):
    """
    Return the text of each block of code in this language, in these documents (all by default).
    """
    text = "\n".join(TEXTS[name] for name in names or TEXTS)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(name, title):
    """
    Return the text under this heading of a document.
    """
    return TEXTS[name].split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(text):
    """
    Return every word in code font in the first column of the tables in *text*.
    """
    cells = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


# Blocks that show a terminal; the one with a server in the background has a test of its own.
(SERVER,) = (block for block in blocks("console") if " &\n" in block)
FIRST, *TRANSCRIPTS = [block for block in blocks("console") if block != SERVER]


def session(block):
    """
    Yield each command of a block that shows a terminal, with its output.
    """
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        yield part.split("\n", 1)


@pytest.fixture
def clone(tmp_path):
    """
    A folder with the samples in it, where `batchfetch` is on the path.
    """
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    script = tmp_path / "bin" / "batchfetch"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m batchfetch "$@"\n')
    script.chmod(0o755)
    return tmp_path


@pytest.fixture
def shell(clone):
    """
    Run command lines as a user would, in a fresh clone.
    """

    def shell(line, **variables):
        env = environment(**variables)
        del env["BATCHFETCH_ACCESS_TOKEN"]
        env["PATH"] = f"{clone / 'bin'}:{env['PATH']}"
        return subprocess.run(
            ["sh", "-c", line],
            check=False,
            cwd=clone,
            env=env,
            text=True,
            timeout=LIMIT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    return shell


def replay(shell, block):
    """
    Run the commands of a block one after the other and return what a terminal would show.
    """
    script = ""
    for command, _ in session(block):
        # Prints the command as the block does, and leaves `$?` alone.
        script += f"(code=$?; printf '$ %s\\n' {shlex.quote(command)}; exit $code)\n{command}\n"
    return shell(script).stdout


COUNTED = r"(?=\d* (?:tasks?|settled|to fetch|unusable|{})\b)".format("|".join(OutcomeStatus))


def shape(text):
    """
    Return the lines of *text* in a stable order, without what differs from run to run.

    Kept are exit codes and the numbers of tasks by what became of them; other numbers (times,
    calls, bytes) become N, and blanks that align them become two.  Progress is left out: it is
    shown only on a machine that is slow.
    """
    lines = [line for line in text.splitlines() if " not asked yet, " not in line]
    return sorted(line if line.isdecimal() else _numbers_replaced(line) for line in lines)


def _numbers_replaced(line):
    line = re.sub(r"(?<=\S) {2,}", "  ", line)
    return re.sub(rf"(?<![\d.:-])(?!{COUNTED})\d+([.:-]\d+)*", "N", line)


# The first screen


@pytest.mark.slow
def test_the_first_line_leaves_sound_images_and_a_report(shell, clone):
    """
    README's first line ends with exit code 0, two dozen sound images and a report.
    """
    line = re.search(r"^    (python3 -m venv .* --sandbox)$", README, re.MULTILINE)[1]
    *setting_up, job = line.split(" && ")
    assert setting_up == ["python3 -m venv .venv", ".venv/bin/pip install -q ."]
    (first, _), (code, shown), *_ = session(FIRST)
    assert job == f".venv/bin/{first}"
    assert (code, shown) == ("echo $?", "0\n")
    assert shape(replay(shell, FIRST)) == shape(FIRST)
    report = read_report(clone / "images/report.jsonl")
    assert len(report) == len(list(clone.glob("images/**/*.png"))) == 24
    assert {line["outcome"] for line in report} == {"Completed"}
    for line in report:
        Image.open(clone / "images" / line["path"]).verify()
    # The samples show a task that has to wait, and one that comes with a warning.
    assert any(line["calls"] > 1 for line in report if line["task_id"] == "sample-pending")
    assert [line["task_id"] for line in report if line["warnings"]] == ["sample-warning"]
    assert all(line["extra"].keys() == {"customer", "page"} for line in report)


def test_the_first_lines_are_on_the_first_screen():
    """
    To set up, to run and to test takes no scrolling, and README no more than ten minutes.
    """
    lines = README.splitlines()
    assert "\n".join(lines[:40]).count("    python3 -m venv .venv && ") == 2
    assert len(lines) <= 180


def test_the_checks_run_the_test_line_of_the_readme():
    """
    What `.ci/run` looks for is one line, and it stands in README alone.
    """
    script = (ROOT / ".ci/run").read_text()
    pattern = re.search(r"grep -m1 -E '([^']*)' README\.md", script)[1]
    found = [line for line in README.splitlines() if re.search(pattern, line)]
    assert len(found) == 1
    assert found[0].strip() not in script
    assert "--require-hashes -r .ci/requirements.txt" in found[0]


# Blocks of code


@pytest.mark.slow
@pytest.mark.parametrize("block", TRANSCRIPTS)
def test_a_terminal_shows_what_is_documented(shell, block):
    """
    The commands of a block, run one after the other, print what the block shows.
    """
    assert shape(replay(shell, block)) == shape(block)


def test_a_bad_run_shows_every_kind_of_trouble():
    """
    README's bad run has each outcome and reason that the table after it explains.
    """
    shown = next(block for block in blocks("console", "README.md") if "troubled" in block)
    found = set(re.findall(r"\b([A-Z]\w+) \((\w+)\)", shown))
    assert {outcome for outcome, _ in found} == {"Error", "NotExist", "Failed", "Invalid"}
    assert {("NotExist", "not_found"), ("NotExist", "expired")} < found
    explained = set(first_cells(section("README.md", "What a bad one looks like")))
    assert set(OutcomeStatus) - {"Completed"} <= explained
    assert explained <= {*OutcomeStatus, *reasons()}


@pytest.mark.slow
def test_a_server_of_its_own(shell, clone):
    """
    The commands about the stand-in as a process work, in the order in which they stand.
    """
    (serve, url), (export, _), (fetch, summary) = session(SERVER)
    arguments = serve.removeprefix("batchfetch ").removesuffix(" &").replace("8765", "0").split()
    process = start(*arguments)
    address = process.stdout.readline()
    line = f"{export} && {fetch}".replace(url.strip(), address.strip())
    finished = shell(line)
    process.terminate()
    finish(process)
    assert finished.returncode in {0, 3}, finished.stdout
    assert json.loads(finished.stdout).keys() == json.loads(summary).keys()


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python", *(TEXTS.keys() - {"data.md"})))
def test_the_examples_in_python_run(clone, code):
    """
    Each example, pointed at the stand-in, runs; those that fetch the samples leave their images.
    """
    process = start("sandbox", "--processing-time", "0")
    url = process.stdout.readline().strip()
    code = code.replace('output="images"', f'output="images", base_url="{url}"')
    code = code.replace("samples/manifest.csv", "samples/ids.txt")
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=clone,
        env=environment(**CLIENT),
        text=True,
        capture_output=True,
        timeout=LIMIT,
    )
    process.terminate()
    finish(process)
    assert done.returncode == 0, done.stderr
    images = 4 if "samples/" in code else code.count("sample-small")
    assert len(list(clone.glob("images/**/*.png"))) == images


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python", "data.md"))
def test_the_examples_with_tables_run(shell, clone, code):
    """
    Each program reads the table that the page makes of a report, and writes one that is fetched.
    """
    for library in {"pyarrow", *re.findall(r"^import (\w+)", code, re.MULTILINE)}:
        pytest.importorskip(library, reason=f"{library} is not installed")
    (block,) = blocks("console", "data.md")
    replay(shell, block)
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=clone,
        env=environment(),
        text=True,
        capture_output=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    written = [path for path in clone.glob("*.parquet") if path.name != "night.parquet"]
    assert done.stdout or written
    for path in written:
        assert shell(f"batchfetch fetch {path.name} -o more --dry-run").returncode == 0


def test_the_library_in_eight_lines():
    """
    README's example of the library is short.
    """
    (code,) = blocks("python", "README.md")
    assert len([line for line in code.splitlines() if line]) <= 8


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_quoted_as_it_is(shell, name):
    """
    The page of options shows those of every command as `--help` does, at a width of 80.
    """
    assert shell(f"batchfetch {name} --help", COLUMNS="80").stdout in blocks("text", "options.md")
    for parameter in load_command(name).params:
        for switch in (*parameter.opts, *parameter.secondary_opts):
            assert switch in TEXTS["options.md"] or not switch.startswith("-")


def test_the_samples_are_quoted_as_they_are():
    """
    The page about deployment shows the sample files, which are not part of the package.
    """
    shown = blocks("(?:ini|toml|crontab|sh)", "deploy.md")
    units = ("batchfetch.service", "batchfetch-failed.service", "batchfetch.timer")
    for name in ("batchfetch.toml", "nightly.sh", "crontab", *units):
        assert (ROOT / "samples" / name).read_text() in shown
    assert (ROOT / "samples/alerts.yml").read_text() in blocks("yaml", "monitoring.md")
    shown = blocks("(?:sh|yaml)", "scale.md")
    for name in ("shards.yaml", "slurm.sh", "parallel.sh"):
        assert (ROOT / "samples" / name).read_text() in shown
    (rows,) = blocks("csv", "manifest.md")
    assert (ROOT / "samples/manifest.csv").read_text(encoding="utf-8").startswith(rows)


# Tables and lists


def reasons():
    """
    Return every reason in the code: what `reason` is set to, or passed as, anywhere in it.
    """
    found = set()
    for path in (ROOT / "batchfetch").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for value in _values_of_reason(node):
                found |= set(_texts(value))
    return found


def _values_of_reason(node):
    match node:
        case ast.keyword(arg="reason", value=value):
            yield value
        case ast.AnnAssign(target=ast.Name("reason"), value=ast.expr() as value):
            yield value
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
            yield from (v for n, v in zip(names, values, strict=True) if _is_reason(n))
        case ast.Assign(targets=[target], value=value) if _is_reason(target):
            yield value
        case ast.FunctionDef(args=ast.arguments(kwonlyargs=names, kw_defaults=values)):
            yield from (v for n, v in zip(names, values, strict=True) if n.arg == "reason" and v)


def _is_reason(node):
    return getattr(node, "id", getattr(node, "attr", None)) == "reason"


def _texts(value):
    match value:
        case ast.Constant(str() as text):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from (*_texts(one), *_texts(other))
        case ast.JoinedStr(values=parts):
            yield "".join(p.value if isinstance(p, ast.Constant) else "<status>" for p in parts)


def test_report_keys():
    """
    The table lists the keys of a report's line, all of them, in their order.
    """
    keys = [field.alias or name for name, field in Outcome.model_fields.items()]
    assert first_cells(section("report.md", "Keys")) == keys


def test_outcomes_and_reasons():
    """
    Each outcome has its line, and each reason in the code an outcome and an explanation; one that
    means another thing for `submit` has a second one there.
    """
    text = section("report.md", "Outcomes and reasons")
    outcomes, explained = text.split("| Reason |")
    more, others = section("submit.md", "Report").split("| Outcome |")[1].split("| Reason |")
    assert re.findall(r"^\| `(\w+)`", outcomes, re.MULTILINE) == list(OutcomeStatus)
    assert set(re.findall(r"^\| `(\w+)`", more, re.MULTILINE)) == set(SubmitStatus)
    known = {*reasons(), *Refusal, LOST}
    assert set(re.findall(r"`([a-z]\w+(?:<status>)?)`", outcomes + more)) == known
    here, there = first_cells(explained), first_cells(others)
    assert sorted(here + there) == sorted([*known, *({*here} & {*there})])
    assert {*here} & {*there} == {Refusal.BAD_NAME}


def test_submit_keys():
    """
    The tables list the keys of a submission's report, of its summary and of its manifest.
    """
    keys = {field.alias or name for name, field in SubmitResult.model_fields.items()}
    assert set(first_cells(section("submit.md", "Report").split("| Outcome |")[0])) == keys
    assert first_cells(section("submit.md", "Summary")) == list(SubmitSummary.model_fields)
    result = SubmitResult(outcome=SubmitStatus.SUBMITTED, task_id="one")
    line = json.loads(manifest_line(result))
    assert first_cells(section("submit.md", "What comes out")) == list(line)


def test_summary_keys():
    """
    The table lists the keys of the summary, all of them, in their order.
    """
    assert first_cells(section("report.md", "Summary")) == list(ClusterSummary.model_fields)


def test_figures_keys():
    """
    The table lists the keys of the figures, all of them, in their order.
    """
    assert first_cells(section("report.md", "Figures")) == list(Figures.model_fields)


def test_run_keys():
    """
    The table lists the keys of a line in the log of runs, all of them, in their order.
    """
    assert first_cells(section("report.md", "Runs")) == list(Run.model_fields)


def test_report_formats():
    """
    Every format that a report can be written in has its line.
    """
    assert first_cells(section("report.md", "Reading it")) == list(FORMATS)


def test_exit_codes():
    """
    Every code is explained, and no other.
    """
    cells = re.findall(r"^\| (\d+(?:, \d+)?) \|", TEXTS["exit-codes.md"], re.MULTILINE)
    codes = [int(code) for cell in cells for code in cell.split(", ")]
    assert sorted(codes) == sorted(ExitCode)


def test_manifest_formats_and_columns():
    """
    Every format has its line, and every column that means something is known by each of its names.
    """
    assert first_cells(section("manifest.md", "Formats")) == [
        f".{known}" for known in ManifestFormat
    ]
    names = first_cells(section("manifest.md", "Columns and keys"))
    assert names == ["task_id", "id", "taskId", "Task ID", "name", "submitted_at", "endpoint"]
    assert all(Columns([name]).has_task_id for name in names[:4])


def test_endpoints():
    """
    The table has every endpoint and its path.
    """
    rows = re.findall(r"^\| `(\w+)` \| `(/\S+)` \|", TEXTS["service.md"], re.MULTILINE)
    assert dict(rows) == ENDPOINTS


def test_well_known_ids():
    """
    The table has every id whose end the stand-in knows beforehand.
    """
    listed = first_cells(section("service.md", "The stand-in"))
    assert sorted(listed) == sorted(WELL_KNOWN)


def test_public_names():
    """
    The table of the library has every public name that is no error.
    """
    table = TEXTS["library.md"].split("## Errors")[0]
    names = {re.match(r"\w+", word)[0] for word in first_cells(table)}
    others = {name for name in batchfetch.__all__ if name.endswith("Error")} | {"__version__"}
    assert names == set(batchfetch.__all__) - others


def test_errors():
    """
    The tree is the one the errors are written in.
    """
    tree = re.search(r"    (BatchFetchError\n.*?)\n\n", errors.__doc__, re.DOTALL)[1]
    assert tree.replace("\n    ", "\n") + "\n" in blocks("text", "library.md")


def test_the_release_is_in_the_changes():
    """
    The newest entry of the changes is this release.
    """
    newest = re.search(r"^### (\S+)", section("README.md", "Changes"), re.MULTILINE)[1]
    assert newest == batchfetch.__version__


# Links


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    """
    What a document links to inside the repository is there.
    """
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name]):
        if not target.startswith("https://"):
            assert (PATHS[name].parent / target).is_file(), target


def test_every_page_is_linked_from_the_readme():
    """
    README has one line for each page of the manual.
    """
    linked = re.findall(r"^\| \[([\w-]+)\]\(batchfetch/manual/\1\.md\)", README, re.MULTILINE)
    assert sorted(linked) == sorted(path.stem for path in MANUAL.iterdir())


def test_every_page_is_packaged(tmp_path):
    """
    Wheel and source distribution hold all of the manual, and what a report's page is made of.
    """
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run(build, check=True, cwd=ROOT, capture_output=True, timeout=LIMIT)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as files, tarfile.open(sdist) as sources:
        held = [*files.namelist(), *sources.getnames()]
    for path in (*MANUAL.iterdir(), *(ROOT / "batchfetch/cli/templates").iterdir()):
        name = path.relative_to(ROOT).as_posix()
        assert len([found for found in held if found.endswith(name)]) == 2


# Samples


def test_every_sample_is_run_by_a_test():
    """
    A new sample needs a test.
    """
    assert {path.name for path in (ROOT / "samples").iterdir() if path.is_file()} == {
        *("batchfetch.service", "batchfetch-failed.service", "batchfetch.timer"),
        *("alerts.yml", "batchfetch.toml", "crontab", "nightly.sh"),
        *("ids.txt", "manifest.csv", "manifest.jsonl", "troubled.csv", "quickstart.py"),
        # Tested in `test_samples.py`.
        *("Dockerfile", "airflow_dag.py", "cronjob.yaml", "notebook.py", "notify.sh"),
        # Tested in `test_closed_loop.py`.
        "closed-loop.sh",
        # Tested in `test_shard_samples.py`.
        *("airflow_shards.py", "aws-batch.json", "parallel.sh", "shards.yaml", "slurm.sh"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ids.txt", "manifest.csv", "manifest.jsonl", "troubled.csv"])
def test_every_sample_manifest_completes_a_task(shell, clone, name):
    """
    Each leaves at least one image when it is fetched from the stand-in.
    """
    line = f"batchfetch fetch samples/{name} --sandbox"
    done = shell(line, BATCHFETCH_SANDBOX_PROCESSING_TIME="0")
    assert done.returncode == (3 if name in {"ids.txt", "troubled.csv"} else 0), done.stdout
    assert list(clone.glob("images/**/*.png"))


@pytest.mark.slow
def test_the_library_script(clone):
    """
    It fetches the samples and says where each image is.
    """
    done = subprocess.run(
        [sys.executable, "samples/quickstart.py", "samples/ids.txt"],
        check=False,
        cwd=clone,
        env=environment(),
        text=True,
        capture_output=True,
        timeout=LIMIT,
    )
    assert done.returncode == 3, done.stderr
    assert "sample-error Error service_error" in done.stdout
    assert len(list(clone.glob("images/**/*.png"))) == 4


def test_the_settings_file():
    """
    It is read without complaint, and every key in it says something.
    """
    values = read_config(str(ROOT / "samples/batchfetch.toml"), [*names_of(Settings), "manifest"])
    assert values.pop("manifest") == "manifest.csv"
    settings = Settings.model_validate(values)
    defaults = Settings().model_dump()
    told = {name for name, value in settings.model_dump().items() if value != defaults[name]}
    assert {*values} - told <= {"output"}


@pytest.fixture(scope="module")
def metric_names(tmp_path_factory):
    """
    The names of all metrics that runs have written, with what `_total` and the like stand behind.
    """
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "manifest.txt").write_text("sample-small\n")
    options = ("fetch", "manifest.txt", "--sandbox", "--metrics-file", "x.prom")
    done = finish(start(*options, cwd=folder, env=environment()))
    assert done.code == 0, done.stderr
    return re.findall(r"^# TYPE (\w+) ", (folder / "x.prom").read_text(), re.MULTILINE)


def test_metrics(metric_names):
    """
    The table has every metric of a run that ended well.
    """
    listed = first_cells(section("monitoring.md", "Metrics"))
    assert sorted(listed) == sorted(metric_names)


def test_the_alert_rules(metric_names):
    """
    The rules ask for metrics that there are, and say what happened.
    """
    path = ROOT / "samples/alerts.yml"
    (group,) = yaml.safe_load(path.read_text())["groups"]
    assert len(group["rules"]) == 5
    for rule in group["rules"]:
        assert {"alert", "expr", "labels", "annotations"} <= rule.keys() <= RULE
        asked_for = set(re.findall(r"batchfetch_\w+", rule["expr"]))
        assert asked_for <= {*metric_names}
        assert rule["annotations"]["summary"].endswith(".")
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "rules", path], check=True, capture_output=True)
