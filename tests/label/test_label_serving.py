"""The server as it is reached by the network: what a client library would not even send."""

import contextlib
import http.client
import logging
import socket
from urllib.parse import urlsplit

import pytest
from label_fakes import TOKEN, FakeDesk, dumps

from activeloop.errors import ConfigError
from activeloop.label import app as app_module
from activeloop.label import connections
from activeloop.label.app import make_app
from activeloop.label.images import Picture
from activeloop.label.security import Credentials, Guard, hosts_of
from activeloop.label.serving import (
    Seldom,
    allow_files,
    link_of,
    listen,
    serving,
    warning_of,
)


class Pictures:
    pixelated = False

    def __len__(self):
        return 2

    def __call__(self, index, size):
        return Picture(b"image", "image/png", '"1"')

    def changed(self, index):
        return False


@pytest.fixture(scope="module")
def desk():
    return FakeDesk()


@pytest.fixture(scope="module")
def port(desk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text("the page")
    listening = listen("127.0.0.1", 0, exactly=True)
    number = listening.getsockname()[1]
    app = make_app(desk, Pictures(), page=folder)
    with serving(Guard(app, Credentials(TOKEN, number), hosts_of("127.0.0.1")), listening):
        yield number


@pytest.fixture
def connection(port):
    made = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    yield made
    made.close()


BEARER = {"Authorization": f"Bearer {TOKEN}"}


def raw(port, text, length=65536):
    """Send bytes as they are, and return what comes until the server has no more to say."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as open_socket:
        open_socket.sendall(text)
        open_socket.shutdown(socket.SHUT_WR)
        parts = []
        while part := open_socket.recv(length):
            parts.append(part)
        return b"".join(parts)


def test_the_link_opens_the_page(port, connection):
    connection.request("GET", f"/?token={TOKEN}", headers={"Sec-Fetch-Site": "none"})
    reply = connection.getresponse()
    reply.read()
    assert (reply.status, reply.getheader("location")) == (303, "/")
    assert reply.getheader("server") is None
    cookie = reply.getheader("set-cookie").partition(";")[0]
    assert cookie.startswith(f"activeloop-{port}=")
    connection.request("GET", "/", headers={"Cookie": cookie})
    assert connection.getresponse().read() == b"the page"


@pytest.mark.parametrize(
    "path",
    [
        "/images/..%2f..%2f..%2fetc%2fpasswd",
        "/images/../../../etc/passwd",
        "/static/../desk.py",
        "/static/%2e%2e%2fdesk.py",
        "/static/..\\desk.py",
        "//etc/passwd",
        "http://evil.example/images/0/x",
        "/images/0%00",
    ],
)
def test_paths_lead_nowhere_else(port, path):
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
    reply = raw(port, f"{request}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
    assert reply.startswith(b"HTTP/1.1 404")
    assert b"root:" not in reply
    assert b"import" not in reply


def test_bodies_without_a_length_are_bounded(connection, desk):
    before = len(desk.calls)
    chunks = iter([dumps({"who": "ann"}), *[b" " * 65536] * 4])
    headers = BEARER | {"Content-Type": "application/json"}
    connection.request("POST", "/api/train", chunks, headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    assert len(desk.calls) == before


def test_bodies_that_are_announced_as_too_long_are_not_waited_for(port):
    request = (
        f"POST /api/train HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {10**12}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as open_socket:
        open_socket.sendall(request.encode() + b"x" * 100)
        assert open_socket.recv(100).startswith(b"HTTP/1.1 413")


def test_bodies_that_do_not_come_are_not_waited_for(port, monkeypatch):
    monkeypatch.setattr(app_module, "_BODY_SECONDS", 0.1)
    request = (
        f"POST /api/train HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as open_socket:
        open_socket.sendall(request.encode() + b"{")
        assert open_socket.recv(100).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("begins", ["GET /", "GET / HTTP/1.1\r\nX: "])
def test_addresses_and_headers_that_do_not_end_are_not_kept(port, begins):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as open_socket:
        open_socket.sendall(begins.encode() + b"x" * 50_000)
        assert open_socket.recv(100).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("begins", [b"", b"GET / HT", b"whole, then "])
def test_requests_that_do_not_come_are_not_waited_for(port, monkeypatch, begins):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as open_socket:
        if begins.startswith(b"whole"):
            open_socket.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\nGET" % port)
            assert open_socket.recv(65536).startswith(b"HTTP/1.1 403")
        open_socket.sendall(begins)
        try:
            while open_socket.recv(65536):
                pass
        except ConnectionResetError:
            pass


def test_strangers_who_open_many_connections_keep_nobody_out(port, connection):
    silent = []
    try:
        for _ in range(2 * connections.MOST_CONNECTIONS):
            silent.append(socket.create_connection(("127.0.0.1", port), timeout=10))
        connection.request("GET", "/api/status", headers=BEARER)
        assert connection.getresponse().status == 200
        for each in silent[: connections.MOST_CONNECTIONS]:
            with contextlib.suppress(ConnectionResetError):
                assert each.recv(1) == b""
    finally:
        for each in silent:
            each.close()


def test_more_files_are_allowed_than_a_shell_may_allow():
    resource = pytest.importorskip("resource")
    _, hard = before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 10_240 if hard == resource.RLIM_INFINITY else min(hard, 10_240)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(200, most), hard))
        with listen("127.0.0.1", 0, exactly=True) as listening, serving(None, listening):
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, hard)
        if hard > most:  # what is more already stays
            resource.setrlimit(resource.RLIMIT_NOFILE, (most + 1, hard))
            allow_files()
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most + 1, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_connections_that_cannot_be_taken_do_not_fill_the_log(caplog):
    with listen("127.0.0.1", 0, exactly=True) as listening, serving(None, listening):
        for _ in range(1000):
            logging.getLogger("asyncio").error("accept() out of system resource")
    assert len(caplog.messages) <= 1


def test_a_line_is_logged_again_after_a_minute():
    now = [0.0]
    seldom = Seldom(60.0, lambda: now[0])
    logged = []
    for now[0] in (0.0, 1.0, 59.0, 60.0, 61.0):
        if seldom.filter(logging.makeLogRecord({})):
            logged.append(now[0])
    assert logged == [0.0, 60.0]


def test_two_hosts_and_none_are_refused(port):
    hosts = f"Host: 127.0.0.1:{port}\r\n"
    for lines in ("", hosts + "Host: evil.example\r\n"):
        request = f"GET /api/status HTTP/1.1\r\n{lines}Authorization: Bearer {TOKEN}\r\n\r\n"
        assert raw(port, request.encode()).startswith(b"HTTP/1.1 4")


def test_nothing_that_is_logged_has_the_token(connection, caplog):
    with caplog.at_level(logging.DEBUG):
        for path in (f"/?token={TOKEN}", f"/nowhere?token={TOKEN}"):
            connection.request("GET", path, headers=BEARER)
            connection.getresponse().read()
    assert TOKEN not in caplog.text


# -- where it listens ---------------------------------------------------------------------------


def test_a_port_in_use_is_an_error_if_it_was_asked_for_and_else_the_next_is_taken():
    with listen("127.0.0.1", 0, exactly=True) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is in use"):
            listen("127.0.0.1", port, exactly=True)
        with listen("127.0.0.1", port, exactly=False) as second:
            assert second.getsockname()[1] > port


@pytest.mark.parametrize(
    ("host", "message"), [("no.such.host.invalid", "cannot listen"), ("192.0.2.1", "cannot listen")]
)
def test_an_address_that_is_not_ours_is_an_error(host, message):
    with pytest.raises(ConfigError, match=message):
        listen(host, 0, exactly=True)


def test_the_link_names_an_address_that_can_be_opened():
    with listen("127.0.0.1", 0, exactly=True) as open_socket:
        port = open_socket.getsockname()[1]
        assert link_of(open_socket, "127.0.0.1", "t") == f"http://127.0.0.1:{port}/?token=t"
        assert link_of(open_socket, "::1", "t") == f"http://[::1]:{port}/?token=t"
        everywhere = urlsplit(link_of(open_socket, "0.0.0.0", "t"))
        assert everywhere.hostname == socket.gethostname().lower()


def test_others_are_warned_of():
    assert warning_of("127.0.0.1", 1) is None
    assert warning_of("localhost", 1) is None
    assert warning_of("::1", 1) is None
    for host in ("0.0.0.0", "192.168.1.2", "myhost"):
        warning = warning_of(host, 9)
        assert "TLS" in warning
        assert "ssh -L 9:127.0.0.1:9" in warning
        assert "everybody who has the link can label" in warning
