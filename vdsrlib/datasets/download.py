"""Download one file over HTTP: resumed, never waiting for ever, and saying what went wrong."""

import time
from pathlib import Path

import pooch
import requests
import urllib3
from tqdm import tqdm

from vdsrlib.errors import InputError

SLOWEST = 1024  # bytes a second
CHUNK = 2**16
TRIES = 3
PAUSE = 1.0  # seconds before the second try; twice as long before the third
NETWORK = (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError)


class DownloadError(Exception):
    """An address did not give the file; ``again`` says whether another try may succeed."""

    def __init__(self, words: str, again: bool) -> None:
        super().__init__(words)
        self.again = again


def download(url: str, known_hash: str | None, folder: Path, timeout: float) -> Path:
    """Download the file at an address once; a failure that may pass is tried again, later and later.

    Args:
        url: the address.
        known_hash: "sha256:…" or "md5:…" of the file, where one is on record.
        folder: of the file, and of what has arrived of it.
        timeout: seconds without a byte, or with less than a kilobyte a second, until it counts as a failure.

    Returns:
        the file, which is there already the next time.

    Raises:
        DownloadError: it is not to be had.
        InputError: it cannot be written here.
    """
    pooch.get_logger().setLevel("ERROR")
    downloader = Downloader(folder, timeout, verifiable=known_hash is not None)
    for attempt in range(TRIES):
        try:
            print(url + (f" (try {attempt + 1} of {TRIES})" if attempt else ""), flush=True)
            return Path(pooch.retrieve(url, known_hash, path=folder, downloader=downloader))
        except ValueError as error:
            if "does not match the known hash" not in str(error):
                raise
            failure = DownloadError("its hash differs from the one on record", downloader.resumed)
        except DownloadError as error:
            failure = error
        if not failure.again or attempt == TRIES - 1:
            raise failure
        time.sleep(PAUSE * 2**attempt)
    raise AssertionError("unreachable")


class Downloader:
    """Download as pooch asks for it; what has arrived stays in a .part file, where the next call goes on.

    Args:
        folder: of the .part files, one an address.
        timeout: seconds without a byte, or with less than a kilobyte a second, until an address is given up.
        verifiable: whether a hash will tell a file that was pieced together wrongly. Otherwise the download
            goes on only where the server says that the file has not changed.
    """

    def __init__(self, folder: Path, timeout: float, verifiable: bool) -> None:
        self.folder, self.timeout, self.verifiable = folder, timeout, verifiable
        self.resumed = False

    def __call__(self, url: str, output_file: str, _: object) -> None:
        """Download ``url`` into ``output_file``."""
        part = self.folder / (pooch.utils.unique_file_name(url) + ".part")
        version = part.with_suffix(".version")  # the server's ETag or date
        try:
            with self._open(url, part, version) as response:
                self._receive(response, part)
        except NETWORK as error:
            raise DownloadError(_words(error), again=True) from error
        except OSError as error:
            raise InputError(f"Cannot write {part}: {error.strerror or error}.") from error
        part.replace(output_file)
        version.unlink(missing_ok=True)

    def _open(self, url: str, part: Path, version: Path) -> requests.Response:
        """Ask for the file, or for the rest of it; ``part`` then holds the bytes before the response."""
        have = part.stat().st_size if part.exists() else 0
        known = version.read_text(encoding="utf-8") if version.exists() else ""
        headers = {"Accept-Encoding": "identity"}
        if have and (known or self.verifiable):
            headers |= {"Range": f"bytes={have}-"} | ({"If-Range": known} if known else {})
        response = requests.get(url, headers=headers, stream=True, timeout=self.timeout)
        if response.status_code == 416:  # nothing after what is there: it is not what the server has now
            part.unlink()
            raise DownloadError("the partial download is not part of the file any more", again=True)
        if response.status_code >= 400:
            again = response.status_code >= 500 or response.status_code in (408, 429)
            raise DownloadError(f"the server answers {response.status_code} {response.reason}", again)
        begin = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        self.resumed = response.status_code == 206
        if self.resumed and begin != str(have):
            part.unlink()
            raise DownloadError("the server continues from another byte than asked", again=True)
        if not self.resumed:
            part.write_bytes(b"")
            etag = response.headers.get("ETag", "")
            strong = etag if etag.startswith('"') else ""
            version.write_text(strong or response.headers.get("Last-Modified", ""), encoding="utf-8")
        return response

    def _receive(self, response: requests.Response, part: Path) -> None:
        length = response.headers.get("Content-Length")
        have = part.stat().st_size
        total = have + int(length) if length and length.isdigit() else None
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, leave=False, disable=None)
        with bar, part.open("ab") as file:
            begin, count = time.monotonic(), 0
            while data := response.raw.read1(CHUNK, decode_content=False):
                file.write(data)
                bar.update(len(data))
                count += len(data)
                elapsed = time.monotonic() - begin
                if elapsed > self.timeout:
                    if count < SLOWEST * elapsed:
                        raise DownloadError(f"only {count / elapsed:.0f} bytes a second arrive", again=True)
                    begin, count = time.monotonic(), 0


def _words(error: Exception) -> str:
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return "the server does not answer"
    if isinstance(error, requests.TooManyRedirects):
        return "the server redirects without end"
    if isinstance(error, urllib3.exceptions.HTTPError):  # while the body is read; it knows its length
        return "the connection ended before the file did"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not valid"
    return "there is no connection to the server"
