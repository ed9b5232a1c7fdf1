"""``vdsr data get`` against a server on loopback that does what servers do on bad days.

Whatever happens ends in the next address or in one clear sentence; the target is untouched until a set is
whole, and a second run completes.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import types
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import wait_until

import vdsrlib
from vdsrlib.cli import app
from vdsrlib.datasets import comparison, download, manifest, sources
from vdsrlib.datasets.catalog import embedded, list_images
from vdsrlib.imaging.image_file import read_image, save_image

SCRIPTS = Path(__file__).parents[2] / "data_scripts"
PACKAGE = Path(vdsrlib.__file__).parent


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Scripts that know a Set5 of photographs, and the archive that holds it."""
    root = tmp_path_factory.mktemp("site")
    for name in ("astronaut.png", "chelsea.png", "coffee.png"):
        save_image(root / f"sets/Set5/{name}", read_image(embedded([name])[0])[40:210, 60:290])
    shutil.copytree(SCRIPTS, root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    without = shutil.ignore_patterns("*.json", "*.safetensors", "__pycache__")
    shutil.copytree(PACKAGE, root / "scripts/vdsrlib", ignore=without)  # with sets of its own
    command = [sys.executable, root / "scripts/manifest.py", root / "sets"]
    subprocess.run(command, check=True, capture_output=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(root / "sets", "somewhere")
    return types.SimpleNamespace(root=root, archive=packed.getvalue())


class Server(ThreadingHTTPServer):
    """Answers /NAME as ``answers[NAME]`` says; keeps (name, asked range) of every request."""

    daemon_threads = True

    def __init__(self, body):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.requests, self.stop = body, [], threading.Event()

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}.tar"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        name = self.path.strip("/").removesuffix(".tar")
        tries = sum(asked == name for asked, _ in self.server.requests)
        self.server.requests.append((name, self.headers.get("Range")))
        self.close_connection = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client may have had enough
            getattr(self, name)(self.server.body, tries)

    def head(self, status=200, length=None, **headers):
        self.send_response(status)
        self.send_header("Connection", "close")
        if length is not None:
            self.send_header("Content-Length", str(length))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def good(self, body, tries):
        """The file; or the rest of it, where that is asked of the version that it has."""
        asked = self.headers.get("Range")
        version = '"1"'
        if asked and self.headers.get("If-Range", version) == version:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                return self.head(416, 0)
            self.head(206, len(body) - start, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")
            return self.wfile.write(body[start:])
        self.head(200, len(body), ETag=version)
        return self.wfile.write(body)

    def half(self, body, length, **headers):
        self.head(200, length, **headers)
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()

    # The bad days. Those that end with "first" happen once.

    def truncated(self, body, tries):
        self.half(body, len(body))

    def truncated_first(self, body, tries):
        self.half(body, len(body), ETag='"1"') if tries == 0 else self.good(body, tries)

    def truncated_chunks(self, body, tries):
        self.head(200, Transfer_Encoding="chunked")
        self.wfile.write(b"%x\r\n" % len(body) + body[: len(body) // 2])

    def truncated_without_length(self, body, tries):
        self.half(body, None)

    def changed_first(self, body, tries):
        """Half of another file; the file has changed when the client goes on."""
        if tries == 0:
            return self.half(b"\0" * len(body), len(body), ETag='"0"')
        return self.good(body, tries)

    def ranges_ignored(self, body, tries):
        self.half(body, len(body), ETag='"1"') if tries == 0 else (
            self.head(200, len(body)),
            self.wfile.write(body),
        )

    def ranges_wrong(self, body, tries):
        if self.headers.get("Range"):
            self.head(206, 10, Content_Range=f"bytes 5-14/{len(body)}")
            return self.wfile.write(body[5:15])
        return self.half(body, len(body), ETag='"1"')

    def other_bytes(self, body, tries):
        self.head(200, len(body))
        middle = len(body) // 2
        self.wfile.write(body[:middle] + b"x" * 2000 + body[middle + 2000 :])

    def web_page(self, body, tries):
        page = b"<!DOCTYPE html><html><title>Sign in</title></html>"
        self.head(200, len(page), Content_Type="text/html")
        self.wfile.write(page)

    def empty(self, body, tries):
        self.head(200, 0)

    def stalls(self, body, tries):
        self.half(body, len(body))
        self.server.stop.wait(20)

    def silent(self, body, tries):
        self.server.stop.wait(20)

    def drips(self, body, tries):
        self.head(200, len(body))
        for byte in body[:2000]:
            self.wfile.write(bytes([byte]))
            if self.server.stop.wait(0.02):
                break

    def hangs_up(self, body, tries):
        pass

    def not_found(self, body, tries):
        self.head(404, 0)

    def broken(self, body, tries):
        self.head(500, 0)

    def busy_first(self, body, tries):
        self.head(503, 0) if tries == 0 else self.good(body, tries)

    def moved_to_the_dead(self, body, tries):
        self.head(302, 0, Location=f"http://127.0.0.1:{self.server.dead_port}/x.tar")

    def moved_in_circles(self, body, tries):
        self.head(302, 0, Location=self.path)

    def moved(self, body, tries):
        self.head(302, 0, Location="/good.tar")

    def slow(self, body, tries):
        """The whole file, in about three seconds, or the rest at once."""
        if self.headers.get("Range"):
            return self.good(body, tries)
        self.head(200, len(body), ETag='"1"')
        for start in range(0, len(body), len(body) // 60 + 1):
            self.wfile.write(body[start : start + len(body) // 60 + 1])
            self.wfile.flush()
            if self.server.stop.wait(0.05):
                break
        return None


@pytest.fixture
def server(site):
    with socket.socket() as unused:  # a port where nobody listens
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    server = Server(site.archive)
    server.dead_port = port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def mirrors(site, server):
    """Write sources.json: Set5 from these answers of the server, in turn."""

    def write(*names, verified=False):
        digest = {"hash": f"sha256:{hashlib.sha256(site.archive).hexdigest()}"} if verified else {}
        listed = [{"url": server.url(name), **digest} for name in names]
        sources = {"Set5": {"mirrors": listed, "by hand": ["http://example.org/Set5.rar"]}}
        (site.root / "scripts/vdsrlib/datasets/sources.json").write_text(json.dumps(sources))

    return write


@pytest.fixture
def get(site, monkeypatch, capsys, tmp_path):
    """``vdsr data get Set5`` in this process, without its seconds of waiting."""
    monkeypatch.setattr(manifest, "PATH", site.root / "scripts/vdsrlib/datasets/manifest.json")
    monkeypatch.setattr(sources, "PATH", site.root / "scripts/vdsrlib/datasets/sources.json")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0.01)

    def run(*arguments):
        capsys.readouterr()
        typed = ["Set5", "--to", str(tmp_path / "to"), "--timeout", "0.25", *arguments]
        return app.main(["data", "get", *typed]), capsys.readouterr()

    return run


def assert_complete(site, folder):
    """The set is there, byte for byte, and nothing is left of the work."""
    right = list_images(site.root / "sets/Set5")
    assert [path.name for path in list_images(folder / "Set5")] == [path.name for path in right]
    for path in right:
        assert (folder / "Set5" / path.name).read_bytes() == path.read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == [".downloads", "Set5"]
    assert [path.name for path in (folder / ".downloads").iterdir()] == ["lock"]


@pytest.mark.parametrize("verified", [True, False], ids=["hash known", "no hash"])
@pytest.mark.parametrize(
    ("fault", "words", "tries"),
    [
        ("truncated", "the connection ended", 3),
        ("truncated_chunks", "the connection", 3),
        ("truncated_without_length", "hash differs|broken archive", 1),
        ("ranges_wrong", "continues from another byte|the connection ended", 3),
        ("other_bytes", "hash differs|broken archive|images of Set5 are right", 1),
        ("web_page", "hash differs|a web page", 1),
        ("empty", "hash differs|empty", 1),
        ("stalls", "does not answer", 3),
        ("silent", "does not answer", 3),
        ("drips", "bytes a second arrive", 3),
        ("hangs_up", "no connection", 3),
        ("not_found", "answers 404", 1),
        ("broken", "answers 500", 3),
        ("moved_to_the_dead", "no connection", 3),
        ("moved_in_circles", "redirects without end", 3),
    ],
)
def test_a_fault_is_named_and_leaves_the_target_alone(
    site, server, mirrors, get, tmp_path, fault, words, tries, verified
):
    mirrors(fault, verified=verified)
    status, printed = get()
    assert status == 1
    reason, *rest = printed.err.splitlines()
    assert reason.startswith(f"Set5: {server.url(fault)}: ")
    assert any(word in reason for word in words.split("|")), reason
    assert rest[0].startswith("get: Set5 could not be fetched. Download one of these with a browser")
    assert rest[1:3] == [f"  {server.url(fault)}", "  http://example.org/Set5.rar"]
    assert rest[-1].endswith(f"vdsr data get Set5 --to {tmp_path / 'to'} --from FILE_OR_FOLDER")
    if fault != "moved_in_circles":
        assert [name for name, _ in server.requests] == [fault] * tries
    assert [path.name for path in (tmp_path / "to").iterdir()] == [".downloads"]

    mirrors(fault, "good", verified=verified)  # a second run, with another address behind the bad one
    status, printed = get()
    assert status == 0, printed.err
    assert_complete(site, tmp_path / "to")


@pytest.mark.parametrize("verified", [True, False], ids=["hash known", "no hash"])
@pytest.mark.parametrize(
    "fault", ["good", "moved", "busy_first", "truncated_first", "changed_first", "ranges_ignored"]
)
def test_what_passes_is_overcome(site, server, mirrors, get, tmp_path, fault, verified):
    mirrors(fault, verified=verified)
    status, printed = get()
    assert (status, printed.err) == (0, "")
    assert_complete(site, tmp_path / "to")
    ranges = [asked for _, asked in server.requests if asked]
    half = f"bytes={len(site.archive) // 2}-"
    assert ranges == ([half] if fault in ("truncated_first", "changed_first", "ranges_ignored") else [])


def test_a_download_goes_on_in_the_next_run(site, server, mirrors, get, monkeypatch, tmp_path):
    monkeypatch.setattr(download, "TRIES", 1)
    mirrors("truncated_first")
    assert get()[0] == 1
    assert get()[0] == 0
    assert server.requests[1] == ("truncated_first", f"bytes={len(site.archive) // 2}-")
    assert_complete(site, tmp_path / "to")


def test_waits_grow(site, server, mirrors, get, monkeypatch):
    waits = []
    monkeypatch.setattr(download, "PAUSE", 1.0)
    monkeypatch.setattr(download.time, "sleep", waits.append)
    mirrors("broken")
    get()
    assert waits == [1.0, 2.0]


def test_a_full_disk_is_one_sentence(site, server, mirrors, get, full_disk, tmp_path):
    mirrors("good")
    with full_disk():
        status, printed = get()
    assert status == 1
    assert "Cannot write" in printed.err
    assert "Traceback" not in printed.err
    assert get()[0] == 0
    assert_complete(site, tmp_path / "to")


@pytest.mark.parametrize("moment", ["match", "judge"])
def test_stopped_while_installing(site, server, mirrors, get, monkeypatch, tmp_path, moment):
    mirrors("good")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(comparison, moment, stop)
        status, printed = get()
    assert status == 130
    assert printed.err == "get: stopped; the same command goes on from here.\n"
    assert not (tmp_path / "to/Set5").exists()
    assert get()[0] == 0
    assert_complete(site, tmp_path / "to")


@pytest.fixture
def start(site, tmp_path):
    """Start get.py as in a shell."""
    running = []

    def begin():
        environment = {**os.environ, "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, site.root / "scripts/get.py", "Set5", "--to", tmp_path / "to"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # a test run in the background of a shell would pass its deafness to Ctrl-C on
        hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        running.append(subprocess.Popen(command, env=environment, text=True, preexec_fn=hears, **pipes))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


def parts(folder):
    return [path for path in folder.glob("to/.downloads/*.part") if path.stat().st_size > 0]


@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_stopped_while_downloading(site, server, mirrors, start, tmp_path, how):
    mirrors("slow")
    process = start()
    wait_until(lambda: parts(tmp_path))
    process.send_signal(getattr(signal, how))
    _, errors = process.communicate(timeout=60)
    if how == "SIGINT":
        assert process.returncode == 130
        assert errors.splitlines()[-1] == "get: stopped; the same command goes on from here."
    assert not (tmp_path / "to/Set5").exists()
    assert parts(tmp_path)
    process = start()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert server.requests[-1][1].startswith("bytes=")
    assert_complete(site, tmp_path / "to")


def test_two_at_once(site, server, mirrors, start, tmp_path):
    mirrors("slow")
    both = [start(), start()]
    printed = [process.communicate(timeout=90) for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert len(server.requests) == 1
    assert sum("waiting for it" in out for out, _ in printed) == 1
    assert_complete(site, tmp_path / "to")


@pytest.mark.parametrize("timeout", ["-1", "0", "nan", "soon"])
def test_a_timeout_that_is_none(mirrors, get, timeout):
    mirrors("good")
    status, printed = get("--timeout", timeout)
    assert status == 2
    assert f"timeout must be a number of seconds above 0, got {timeout}" in printed.err


def test_the_variable_names_a_folder_that_is_made(site, server, mirrors, get, monkeypatch, tmp_path):
    mirrors("good")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VDSR_DATA", "~/new/data")
    assert app.main(["data", "get", "Set5"]) == 0
    assert_complete(site, tmp_path / "new/data")


def test_without_the_packages_that_download(get, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pooch", None)
    status, printed = get()
    assert status == 2
    assert "pip install 'vdsrlib[data]'" in printed.err
    assert not (tmp_path / "to").exists()


def test_a_scheduler_stops_the_download(site, server, mirrors, start, tmp_path):
    mirrors("slow")
    process = start()
    wait_until(lambda: parts(tmp_path))
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.splitlines()[-1] == "get: stopped; the same command goes on from here."
    assert [path.name for path in (tmp_path / "to").iterdir()] == [".downloads"]
