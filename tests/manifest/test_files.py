"""
Opening of manifest files: formats, compression, standard input, and files that are refused.
"""

import codecs
import gzip
import os
import subprocess
import sys
import threading

import pytest
from command import environment
from privileges import unprivileged

from batchfetch.errors import ManifestError
from batchfetch.manifest import Manifest, ManifestFormat
from batchfetch.models import BadRow

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def ids(manifest):
    """
    Return the task ids of *manifest*, in order.
    """
    return [row.task_id for row in manifest]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.txt", "a\nb\n"),
        ("m.csv", "id,x\na,1\nb,2\n"),
        ("M.TSV", "x\tid\n1\ta\n2\tb\n"),
        ("run.2026.jsonl", '{"id":"a"}\n{"id":"b"}\n'),
        ("m.ndjson", '{"id":"a"}\n{"id":"b"}\n'),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_suffix_says_the_format(tmp_path, name, text, zipped, encoding):
    """
    Every format is recognized by its suffix, compressed or not, in any of the encodings.
    """
    data = text.encode(encoding)
    path = tmp_path / (name + (".GZ" if zipped else ""))
    path.write_bytes(gzip.compress(data) if zipped else data)
    manifest = Manifest(path)
    manifest.check()
    assert ids(manifest) == ["a", "b"]


def test_a_given_format_overrides_the_suffix(tmp_path):
    """
    If the format is given, the suffix does not matter.
    """
    path = tmp_path / "ids.dat"
    path.write_text("a\n")
    assert ids(Manifest(path, manifest_format=ManifestFormat.TXT)) == ["a"]


def test_manifests_follow_each_other_and_one_is_read_once(tmp_path):
    """
    Several manifests are read in order; one that is named twice, also by a link, is read once.
    """
    (tmp_path / "1.txt").write_text("a\n")
    (tmp_path / "2.txt").write_text("b\n")
    (tmp_path / "link.txt").symlink_to("1.txt")
    manifest = Manifest(tmp_path / "1.txt", tmp_path / "2.txt", str(tmp_path / "link.txt"))
    rows = list(manifest)
    assert [row.task_id for row in rows] == ["a", "b"]
    assert rows[0].manifest == str(tmp_path / "1.txt")


def test_a_manifest_can_be_read_again(tmp_path):
    """
    Checking and iterating start from the beginning each time.
    """
    path = tmp_path / "m.csv"
    path.write_text("id\na\n")
    manifest = Manifest(path)
    manifest.check()
    manifest.check()
    assert ids(manifest) == ids(manifest) == ["a"]


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
@pytest.mark.parametrize("end", [b"", b"\n", b"\xd8"])
def test_utf_16_is_read_whatever_its_byte_order(tmp_path, mark, end):
    """
    A byte that is left at the end of UTF-16 costs the row it is in and no other.
    """
    encoding = "utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-16-be"
    path = tmp_path / "m.csv"
    path.write_bytes(mark + "task_id,name\r\na,Größe\r\nb,x".encode(encoding) + end)
    first, last = Manifest(path)
    assert (first.task_id, first.name) == ("a", "Größe")
    assert isinstance(last, BadRow) == bool(end)


@pytest.mark.parametrize("already", ['{"id":"a"}\n', '{"id":"a"}\n{"id":"b"}\n'])
def test_what_is_appended_while_a_manifest_is_read_is_not_read(tmp_path, already):
    """
    A manifest that grows while it is read, such as the run's own report, ends where it was.
    """
    path, second = tmp_path / "m.jsonl", tmp_path / "n.jsonl"
    path.write_text('{"id":"z"}\n')
    second.write_text(already)
    rows = iter(Manifest(path, second))
    read = [next(rows).task_id]
    for grown in (path, second):
        with grown.open("a") as file:
            file.write('{"id":"new"}\n' * 100_000)
    read += [row.task_id for row in rows]
    assert read == ["z", *"ab"[: already.count("id")]]


def test_a_manifest_without_a_last_line_end_is_read_to_its_end(tmp_path):
    """
    The last line does not need a line end.
    """
    path = tmp_path / "m.txt"
    path.write_text("a\nb")
    assert ids(Manifest(path)) == ["a", "b"]


def refused(path, **how):
    """
    Return the message with which *path* is refused before it is read.
    """
    with pytest.raises(ManifestError) as error:
        Manifest(path, **how).check()
    message = str(error.value)
    assert message.startswith(str(path))
    return message


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("m.csv", b"name,page\n", "no column task_id; its columns are 'name', 'page'"),
        ("m.jsonl", b'{"page": 1}\n', "line 1 has no key task_id; its keys are 'page'"),
        ("m.txt", PNG, "a PNG image"),
        (
            "m.csv",
            b"PK\x03\x04....",
            "a zip archive or a spreadsheet; unpack it, or save it as CSV",
        ),
        ("m.csv", b"PK\x03\x04....xl/workbook.xml", "a spreadsheet; save it as CSV"),
        ("m.csv", b"\xd0\xcf\x11\xe0....", "a spreadsheet; save it as CSV"),
        (
            "m.txt",
            b"\xef\xbb\xbf\n<!DOCTYPE html><p>Sign in",
            "a web page or XML; export the tasks",
        ),
        ("m.txt", gzip.compress(b"a\n", mtime=0), "rename the file so that it ends in .gz"),
        ("m.txt", "a\n".encode("utf-16-le"), "if it is UTF-16, save it as UTF-8"),
        ("m.txt", b"abc\0def", "zero bytes"),
        ("m.csv", b"id,Stra\xdfe\n", "first line is not UTF-8; save the file as UTF-8"),
        ("m.txt.gz", b"a\n", "Not a gzipped file"),
        ("m.txt.gz", gzip.compress(b"a\n" * 99, mtime=0)[:15], "end-of-stream"),
        (
            "m.xlsx",
            b"PK\x03\x04....xl/workbook.xml",
            "is no manifest: it is a spreadsheet; save it as CSV",
        ),
        ("m.xlsx", b"", "is no manifest: it is a spreadsheet; save it as CSV"),
        ("m.csv", b"PAR1....PAR1", "a Parquet file; give it as a file whose name ends in .parquet"),
        ("m.dat", b"PAR1....PAR1", "is no manifest: it is a Parquet file; give it as a file whose"),
        ("m.csv", b"PARE....PARE", "an encrypted Parquet file; give one that is not"),
        ("m.arrow", b"ARROW1\0\0", "is no manifest: it is an Arrow file; write it as Parquet"),
        ("m.avro", b"Obj\x01", "an Avro file; write it as Parquet"),
        ("m.orc", b"ORC", "an ORC file; write it as Parquet"),
        ("m.zip", b"PK\x03\x04", "a zip archive or a spreadsheet; unpack it"),
        ("m.tar", b"", "an archive; unpack it"),
        ("m.xml", b"", "a web page or XML"),
        ("m.json", b"[]", "JSON; write one object a line and call it .jsonl"),
        ("m", b"%PDF-1.7", "is no manifest: it is a PDF"),
        ("m.dat", b"", "must end in .txt, .csv, .tsv, .jsonl"),
        ("m.dat", b"", "or --manifest-format must say what it is"),
        (
            "m.txt",
            b"# list\ntask_id,name\na,b\n",
            "the header of a table; rename it, or give --manifest-format csv",
        ),
        ("m.txt", b"name\tTask ID\n", "give --manifest-format tsv"),
        (
            "m.txt",
            b'{"task_id":"a"}\n',
            "a JSON object; rename it, or give --manifest-format jsonl",
        ),
        ("m.cvs", b"", "did you mean .csv?"),
        ("ids", b"", "must end in"),
    ],
)
def test_a_file_that_is_not_a_manifest_is_refused(tmp_path, name, data, message):
    """
    A file that cannot be a manifest is refused with the reason and the remedy.
    """
    path = tmp_path / name
    path.write_bytes(data)
    assert message in refused(path)


def test_a_key_that_was_named_and_is_not_there_is_refused(tmp_path):
    """
    The keys that are there are named, to choose from.
    """
    path = tmp_path / "m.jsonl"
    path.write_text('{"page": 1}\n')
    message = refused(path, id_column="nr")
    assert message.endswith("line 1 has no key 'nr'; its keys are 'page'; give one")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    """
    A path that cannot be opened is refused with the system's reason, whatever it is called.
    """
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "folder").mkdir()
    assert "is a folder without .parquet files; give a manifest" in refused(tmp_path / "folder")
    assert "No such file" in refused(tmp_path / "none")
    assert "No such file" in refused(tmp_path / "none.txt")
    assert "directory" in refused(tmp_path / "folder.txt")
    for suffix in ("", ".csv", ".parquet", ".csv.gz"):
        assert "cannot be opened: File name too long" in refused(tmp_path / f"{'x' * 300}{suffix}")


def test_what_may_not_be_looked_at_is_refused(tmp_path):
    """
    A manifest in a folder that this user may not search is refused with the system's reason, and so
    is a folder of part files of which one may not be searched: its rows would be missing.  An
    output there is the disk's failure.
    """
    locked = tmp_path / "locked"
    locked.mkdir()
    (tmp_path / "m.txt").write_text("a\n")
    (tmp_path / "part.parquet").write_bytes(b"PAR1")
    locked.chmod(0)
    for words, code, message in [
        ([locked / "m.csv"], 2, f"{locked}/m.csv cannot be opened: Permission denied"),
        ([locked / "m"], 2, f"{locked}/m cannot be opened: Permission denied"),
        ([locked / "m.parquet"], 2, f"{locked}/m.parquet cannot be opened: Permission denied"),
        ([tmp_path], 2, f"the folder {locked} cannot be searched for .parquet files: Permission"),
        ([tmp_path / "m.txt", "-o", locked / "o"], 6, f"{locked}/o: Permission denied"),
    ]:
        command = [*unprivileged(), sys.executable, "-m", "batchfetch", "fetch", "--dry-run"]
        finished = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert (finished.returncode, message in finished.stderr) == (code, True), finished.stderr


def test_a_character_may_be_cut_at_the_end_of_the_peeked_bytes(tmp_path):
    """
    A first line longer than the peeked bytes is still recognized as UTF-8.
    """
    path = tmp_path / "m.txt"
    path.write_text("#" + "é" * 100_000 + "\na\n")
    manifest = Manifest(path)
    manifest.check()
    assert ids(manifest) == ["a"]


def test_a_truncated_gzip_is_reported_with_the_line_reached(tmp_path):
    """
    Rows before the damage are read; then iteration raises an error that names the line.
    """
    path = tmp_path / "m.txt.gz"
    lines = "".join(f"{os.urandom(16).hex()}\n" for _ in range(20_000))
    data = gzip.compress(lines.encode())
    path.write_bytes(data[: len(data) // 2])
    manifest = Manifest(path)
    manifest.check()
    read = []
    with pytest.raises(ManifestError, match="cannot be read beyond line") as error:
        read.extend(manifest)
    assert str(error.value).startswith(str(path))


def test_a_pipe_is_checked_and_read(tmp_path):
    """
    The rows that a check reads from a pipe are not lost.
    """
    path = tmp_path / "m.csv"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=("id\na\nb\n",))
    writer.start()
    manifest = Manifest(path)
    manifest.check()
    assert ids(manifest) == ["a", "b"]
    writer.join()


def test_a_path_that_is_not_utf8_can_be_reported(tmp_path):
    """
    Bytes of a manifest's name that are not UTF-8 are replaced in the report.
    """
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")
    with open(path, "w") as file:  # noqa: PTH123 - text
        file.write("a\n")
    (row,) = Manifest(path)
    assert row.manifest == f"{tmp_path}/?.txt"


SCRIPT = """
import sys
from batchfetch.errors import ManifestError
from batchfetch.manifest import Manifest, ManifestFormat
try:
    given = ManifestFormat(sys.argv[1]) if sys.argv[1] else None
    manifest = Manifest("-", "-", manifest_format=given)
    manifest.check()
    print([(row.manifest, row.line, row.task_id) for row in manifest])
except ManifestError as exc:
    print(exc)
"""


@pytest.mark.parametrize(
    ("manifest_format", "given", "printed"),
    [
        ("", b"a\n", "[('-', 1, 'a')]"),
        ("csv", b"id\na\n", "[('-', 2, 'a')]"),
        (
            "csv",
            b"name\na\n",
            (
                "- has no column task_id; its columns are 'name'; rename one, or name it with"
                " --id-column"
            ),
        ),
        ("txt", PNG, "- is not text: it is a PNG image; give a list of task ids"),
        (
            "txt",
            b"PAR1",
            "- is not text: it is a Parquet file; give it as a file whose name ends in .parquet",
        ),
        ("txt", None, "- cannot be opened: standard input is closed; give one that can be read"),
    ],
)
def test_standard_input_is_a_manifest(manifest_format, given, printed):
    """
    `-` is checked and read once, as TXT or in the given format.
    """
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, manifest_format],
        input=given,
        capture_output=True,
        check=True,
        env=environment(),
        preexec_fn=(lambda: os.close(0)) if given is None else None,
    )
    assert done.stdout.decode().strip() == printed
    assert not done.stderr
