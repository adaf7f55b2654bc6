"""A URL goes in, a file comes out: the one place from which this product connects to the outside.

Only http and https, only public addresses (ports 80 and 443) and what the administrator allows;
every redirect is judged anew, the address that was judged is the one connected to, and size and
time are bounded for the whole request. Knows nothing of what the file holds.
"""

import ipaddress
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
from ssrfguard import BlockedAddressError, Policy, SSRFGuardError
from ssrfguard.httpx import Client

from training.datasets.read import is_page
from training.errors import UserError

SCHEMES = ("http", "https")
PUBLIC_PORTS = (80, 443)
URL_LIMIT = 2000
REDIRECT_LIMIT = 5
CONNECT_SECONDS, SILENCE_SECONDS = 10.0, 30.0
TICK_SECONDS = 0.25
CHUNK_BYTES = 1 << 16
STATUS_CODES = {
    401: "url_denied", 403: "url_denied", 407: "url_denied",
    404: "url_missing", 410: "url_missing",
    408: "url_busy", 425: "url_busy", 429: "url_busy", 503: "url_busy",
}  # fmt: skip


@dataclass(frozen=True)
class Fetched:
    size_bytes: int
    file_name: str
    """As the server or the URL names it: to show, never a path."""


def check(url: str) -> None:
    """Refuse a URL that can't be right, by its letters alone (nothing is looked up).

    Raises: UserError `url_unusable`, `url_scheme`, `url_credentials`.
    """
    if not url or len(url) > URL_LIMIT or re.search(r"[\x00-\x20\x7f]", url):
        raise UserError("url_unusable", url=url[:100])
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
    except ValueError:
        raise UserError("url_unusable", url=url[:100]) from None
    if split.scheme.lower() not in SCHEMES:
        raise UserError("url_scheme", scheme=split.scheme[:20] or "-")
    if split.username is not None or split.password is not None:
        raise UserError("url_credentials")
    if not host or port == 0 or len(host) > 253:
        raise UserError("url_unusable", url=url[:100])


def fetch(
    url: str,
    destination: Path,
    *,
    allow: Sequence[str] = (),
    max_bytes: int,
    deadline_seconds: float,
    on_progress: Callable[[int, int], None] | None = None,
) -> Fetched:
    """Bring what a URL points to into `destination`.

    `allow` names addresses, networks or ADDRESS:PORT that may be reached although they are
    private. `on_progress` gets (bytes so far, bytes in all or 0) four times a second.

    Raises: UserError of check; `url_private`, `url_port`, `url_not_found`, `url_unreachable`,
        `url_certificate`, `url_redirects`, `url_denied`, `url_missing`, `url_busy`,
        `url_status`, `url_is_page`, `url_compressed`, `url_too_big`, `url_too_slow`,
        `url_broken`.
    """
    check(url)
    part = destination.with_name(f"{destination.name}.part")
    transfer = Transfer(url, part, Guard(allow), max_bytes)
    try:
        transfer.wait(time.monotonic() + deadline_seconds, on_progress or (lambda *_: None))
        os.replace(part, destination)
    finally:
        transfer.abandon()
        part.unlink(missing_ok=True)
    return Fetched(transfer.done_bytes, transfer.file_name)


class Guard:
    """Which addresses may be connected to; stands in for the resolver, so that it judges the
    very addresses that are then connected to."""

    def __init__(self, allow: Sequence[str]) -> None:
        """Raises: UserError `fetch_allow_unusable`."""
        self.allowed = [_allowed(entry) for entry in allow]
        networks = tuple(network for network, _ in self.allowed)
        try:
            self.policy = Policy(
                allowed_networks=networks,
                allowed_ports=frozenset(range(1, 65536)),  # resolve() judges the port
                on_partial_block="drop",
                max_url_length=4 * URL_LIMIT,
            )
        except ValueError:
            raise UserError("fetch_allow_unusable", entry=", ".join(allow)[:200]) from None
        self.public = Policy()

    def permits(self, address: str, port: int) -> bool:
        found = ipaddress.ip_address(address)
        for network, only_port in self.allowed:
            is_inside = found.version == network.version and found in network
            if is_inside and only_port in (None, port):
                return True
        return port in PUBLIC_PORTS and self.public.permits_address(found)

    def resolve(self, host: str, port: int, *arguments: int) -> list[tuple]:
        """Look a host up and return only what may be reached.

        Raises: UserError `url_not_found`, `url_port`, `url_private`.
        """
        try:
            answers = socket.getaddrinfo(host, port, *arguments)
        except (OSError, UnicodeError):
            raise UserError("url_not_found", host=host) from None
        permitted = [answer for answer in answers if self.permits(str(answer[4][0]), port)]
        if permitted:
            return permitted
        is_public = any(self.public.permits_address(str(answer[4][0])) for answer in answers)
        raise UserError("url_port" if is_public else "url_private", host=host, port=port)


def _allowed(entry: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, int | None]:
    """Raises: UserError `fetch_allow_unusable`."""
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::(\d{1,5}))?", entry)
    match = bracketed or re.fullmatch(r"([^:\[\]]+):(\d{1,5})", entry)
    host, port = match.groups() if match else (entry, None)
    try:
        return ipaddress.ip_network(host, strict=False), int(port) if port else None
    except ValueError:
        raise UserError("fetch_allow_unusable", entry=entry[:200]) from None


class Transfer:
    """One request in a thread of its own: whatever a server drips, the caller's clock rules."""

    def __init__(self, url: str, part: Path, guard: Guard, max_bytes: int) -> None:
        self.url = url
        self.part = part
        self.max_bytes = max_bytes
        self.done_bytes = self.total_bytes = 0
        self.file_name = ""
        self.error: Exception | None = None
        self.is_abandoned = threading.Event()
        context = httpx.create_ssl_context(trust_env=False)
        context.load_default_certs()  # an intranet's own authority, where the system knows it
        self.client = Client(
            policy=guard.policy,
            resolver=guard.resolve,
            verify=context,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
            headers={"Accept-Encoding": "identity", "Accept": "*/*", "User-Agent": "Dadeum"},
        )

    def wait(self, until: float, on_progress: Callable[[int, int], None]) -> None:
        """Run the request until it ends or the clock (time.monotonic) reaches `until`.

        Raises: UserError, see fetch.
        """
        seconds = round(until - time.monotonic())
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        while thread.is_alive():
            left = until - time.monotonic()
            if left <= 0:
                raise UserError("url_too_slow", seconds=seconds)
            thread.join(min(TICK_SECONDS, left))
            on_progress(self.done_bytes, self.total_bytes)
        if self.error:
            raise self.error

    def abandon(self) -> None:
        """Close the connection under the thread, should it still run."""
        self.is_abandoned.set()
        self.client.close()

    def _run(self) -> None:
        try:
            self._follow()
        except UserError as error:
            self.error = error
        except SSRFGuardError as error:
            self.error = _refusal(error, self.url)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            self.error = _failure(error, self.url)
        except Exception as error:  # a fault of ours: raised again where it is waited for
            self.error = error

    def _follow(self) -> None:
        """Walk the redirects by hand: httpx would read their bodies without any bound."""
        request = self.client.build_request("GET", self.url)
        for _ in range(REDIRECT_LIMIT + 1):
            self.url = str(request.url)
            check(self.url)
            response = self.client.send(request, stream=True)
            try:
                if response.next_request is None:
                    self._save(response)
                    return
                request = response.next_request
            finally:
                response.close()
        raise UserError("url_redirects", limit=REDIRECT_LIMIT)

    def _save(self, response: httpx.Response) -> None:
        self._judge(response)
        if self.is_abandoned.is_set():
            return
        is_html = "html" in response.headers.get("content-type", "").lower()
        self.file_name = _file_name(response)
        with self.part.open("wb") as file:
            for chunk in response.iter_raw(CHUNK_BYTES):
                if self.is_abandoned.is_set():
                    return
                if not self.done_bytes and _looks_like_page(chunk, is_html):
                    raise UserError("url_is_page")
                self.done_bytes += len(chunk)
                if self.done_bytes > self.max_bytes:
                    raise self._too_big()
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())

    def _judge(self, response: httpx.Response) -> None:
        """Refuse an answer by its head."""
        status = response.status_code
        if status not in (200, 203):
            code = STATUS_CODES.get(status, "url_busy" if status >= 500 else "url_status")
            raise UserError(code, status=status)
        if response.headers.get("content-encoding", "identity").strip().lower() not in (
            "", "identity",
        ):  # fmt: skip
            raise UserError("url_compressed")
        declared = response.headers.get("content-length", "")
        self.total_bytes = int(declared) if declared.isdigit() else 0
        if self.total_bytes > self.max_bytes:
            raise self._too_big()

    def _too_big(self) -> UserError:
        return UserError("url_too_big", limit_mb=max(1, self.max_bytes >> 20))


def _looks_like_page(chunk: bytes, is_html: bool) -> bool:
    """A table that is wrongly called text/html is still a table."""
    head = chunk.decode("utf-8", "ignore").lstrip("\ufeff\0 \t\r\n")
    return is_page(head) or (is_html and head.startswith("<"))


def _refusal(error: SSRFGuardError, url: str) -> UserError:
    host = urlsplit(url).hostname or ""
    if isinstance(error, BlockedAddressError) or isinstance(error.__cause__, BlockedAddressError):
        return UserError("url_private", host=host, port=urlsplit(url).port or 0)
    return UserError("url_unusable", url=url[:100])


def _failure(error: Exception, url: str) -> UserError:
    host = urlsplit(url).hostname or ""
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
        return UserError("url_unusable", url=url[:100])
    if isinstance(error, httpx.TimeoutException):
        return UserError("url_too_slow", seconds=round(SILENCE_SECONDS))
    if isinstance(error, httpx.ConnectError):
        is_tls = "SSL" in str(error) or "CERTIFICATE" in str(error).upper()
        return UserError("url_certificate" if is_tls else "url_unreachable", host=host)
    return UserError("url_broken", host=host)


def _file_name(response: httpx.Response) -> str:
    """Return a name to show, from the answer's head or else from the URL."""
    header = Message()
    header["Content-Disposition"] = response.headers.get("content-disposition", "")
    try:
        named = header.get_filename()
    except (ValueError, LookupError, TypeError):  # a header that nobody can read
        named = None
    named = named or unquote(response.url.path.rsplit("/", 1)[-1])
    named = re.split(r"[/\\]", named)[-1]
    return "".join(letter for letter in named if letter.isprintable()).strip(" .")[:200] or "data"
