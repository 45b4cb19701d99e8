"""Nobody sees or labels anything but those who have the link, by the page that it opens."""

import stat
import sys

import pytest
from label_fakes import HOST, TOKEN, FakeDesk, stranger, visitor
from starlette.responses import PlainTextResponse

from activeloop.label.app import make_app
from activeloop.label.security import HEADERS, Rates, hosts_of
from activeloop.label.serving import TOKEN_FILE, kept_token

BEARER = {"authorization": f"Bearer {TOKEN}"}


class OneImage:
    pixelated = True

    def __len__(self):
        return 1


@pytest.fixture
def app(tmp_path):
    (tmp_path / "index.html").write_text("the page")
    (tmp_path / "page.js").write_text("the script")
    return make_app(FakeDesk(), OneImage(), page=tmp_path)


# -- the token --------------------------------------------------------------------------------


def test_the_link_leaves_the_token_in_a_cookie_and_out_of_the_address(app):
    client = stranger(app)
    reply = client.get("/", params={"token": TOKEN}, headers={"sec-fetch-site": "none"})
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    cookie = reply.headers["set-cookie"]
    assert cookie.startswith(f"activeloop-8765={TOKEN};")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert client.get("/").text == "the page"


def test_the_link_in_a_mail_goes_on_from_a_page_of_ours_for_a_redirect_would_not_have_the_cookie(
    app,
):
    client = stranger(app)
    opened = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    opened["sec-fetch-dest"] = "document"
    reply = client.get("/", params={"token": TOKEN}, headers=opened)
    assert reply.status_code == 200
    assert 'http-equiv="refresh" content="0;url=/"' in reply.text
    assert TOKEN not in reply.text
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/api/status", "/images/0", "/nowhere"])
def test_without_the_token_there_is_nothing(app, path):
    for headers in ({}, {"authorization": "Bearer wrong"}, {"cookie": "activeloop-8765=wrong"}):
        reply = stranger(app).get(path, headers=headers)
        assert reply.status_code == 403
        assert "pen the link that the terminal shows" in reply.text


@pytest.mark.parametrize("given", ["wrong", TOKEN[:-1], TOKEN + "t", "", "t\u00e9\u2028"])
def test_a_wrong_token_in_the_link_is_refused_and_leaves_no_cookie(app, given):
    reply = stranger(app).get("/", params={"token": given})
    assert reply.status_code == 403
    assert "set-cookie" not in reply.headers


def test_the_token_in_the_address_opens_the_page_and_nothing_else(app):
    assert stranger(app).get("/api/status", params={"token": TOKEN}).status_code == 403


def test_the_cookie_of_a_server_on_another_port_does_not_open_this_one(app):
    reply = stranger(app).get("/", headers={"cookie": f"activeloop-8766={TOKEN}"})
    assert reply.status_code == 403


def test_programs_give_the_token_in_a_header(app):
    client = stranger(app)
    assert client.get("/api/status", headers=BEARER).status_code == 200
    assert client.post("/api/train", json={"who": "ann"}, headers=BEARER).status_code == 200


def test_behind_a_proxy_with_tls_the_cookie_is_for_tls_only(app):
    reply = stranger(app).get("/", params={"token": TOKEN}, headers={"x-forwarded-proto": "https"})
    assert "Secure" in reply.headers["set-cookie"]


def test_the_token_is_kept_where_nobody_else_reads_it(tmp_path):
    token = kept_token(tmp_path)
    assert len(token) == 43
    assert stat.S_IMODE((tmp_path / TOKEN_FILE).stat().st_mode) == 0o600
    assert kept_token(tmp_path) == token
    assert kept_token(tmp_path, new=True) != token


@pytest.mark.skipif(sys.platform == "win32", reason="no such modes")
def test_a_token_that_others_could_read_is_replaced(tmp_path):
    token = kept_token(tmp_path)
    (tmp_path / TOKEN_FILE).chmod(0o640)
    other = kept_token(tmp_path)
    assert other != token
    assert stat.S_IMODE((tmp_path / TOKEN_FILE).stat().st_mode) == 0o600
    (tmp_path / "elsewhere").write_text("s" * 43)
    (tmp_path / "elsewhere").chmod(0o600)
    (tmp_path / TOKEN_FILE).unlink()
    (tmp_path / TOKEN_FILE).symlink_to(tmp_path / "elsewhere")
    assert kept_token(tmp_path) != "s" * 43
    assert (tmp_path / "elsewhere").read_text() == "s" * 43


# -- other names, other pages -----------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "localhost.",
        "a b",
        "",
        "[::2]",
    ],
)
def test_names_that_are_not_served_are_refused_whoever_asks(app, host):
    reply = stranger(app).get("/api/status", headers=BEARER | {"host": host})
    assert reply.status_code == 403
    assert "is not served here" in reply.json()["error"]


@pytest.mark.parametrize("host", ["localhost:8765", "LOCALHOST", "[::1]:8765", "127.0.0.1:9000"])
def test_all_names_of_this_machine_are_served_on_any_port_of_a_tunnel(app, host):
    assert stranger(app).get("/api/status", headers=BEARER | {"host": host}).status_code == 200


def test_a_server_for_others_is_reached_by_its_addresses_and_by_the_names_it_was_told():
    hosts = hosts_of("0.0.0.0", ["Labels.example.org"])
    assert "labels.example.org" in hosts
    assert "evil.example" not in hosts
    names = {"any_address": True}
    client = stranger(PlainTextResponse("in"), **names)
    for host, status in (("192.168.1.7:8765", 200), ("[fe80::1]:8765", 200), ("evil.example", 403)):
        assert client.get("/x", headers=BEARER | {"host": host}).status_code == status


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:3000", "http://127.0.0.1", f"ftp://{HOST}"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_of_other_origins_are_refused_cookie_or_not(app, origin, method):
    client = visitor(app)
    path, body = ("/api/status", None) if method == "GET" else ("/api/train", {"who": "ann"})
    assert client.request(method, path, json=body).status_code == 200
    reply = client.request(method, path, json=body, headers={"origin": origin})
    assert reply.status_code == 403
    assert "other pages" in reply.json()["error"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["/images/0", "/api/status", "/static/page.js"])
def test_nothing_of_ours_is_shown_in_other_pages(app, site, path):
    client = visitor(app)
    del client.headers["origin"]
    headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    assert client.get(path, headers=headers).status_code == 403
    opened = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert client.get(path, headers=opened).status_code == 403
    assert client.get("/", headers=opened).status_code == 200
    framed = opened | {"sec-fetch-dest": "iframe"}
    assert client.get("/", headers=framed).status_code == 403


def test_a_post_with_the_cookie_must_say_where_it_comes_from(app):
    client = visitor(app)
    del client.headers["origin"]
    assert client.post("/api/train", json={"who": "ann"}).status_code == 403
    for site, status in (("cross-site", 403), ("same-origin", 200)):
        headers = {"sec-fetch-site": site, "origin": f"http://{HOST}"}
        assert client.post("/api/train", json={"who": "a"}, headers=headers).status_code == status


def test_two_host_headers_are_refused(app):
    headers = [("host", HOST), ("host", "evil.example"), ("authorization", f"Bearer {TOKEN}")]
    assert stranger(app).get("/api/status", headers=headers).status_code == 403


# -- what all replies say ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/api/status", "/api/nothing"])
def test_all_replies_have_the_headers_refusals_too(app, path):
    for client in (visitor(app), stranger(app)):
        headers = client.get(path).headers
        assert HEADERS.items() <= {k: headers[k] for k in HEADERS}.items()
        assert "cache-control" in headers
        assert "server" not in headers
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


# -- how often --------------------------------------------------------------------------------


def test_a_client_may_come_so_often_at_once_and_then_so_often_a_second():
    now = [0.0]
    rates = Rates(per_second=2, burst=3, clock=lambda: now[0])
    assert [rates.allow("a") for _ in range(4)] == [True, True, True, False]
    assert rates.allow("b")
    now[0] = 0.5
    assert [rates.allow("a") for _ in range(2)] == [True, False]
    now[0] = 1000.0
    assert [rates.allow("a") for _ in range(4)] == [True, True, True, False]


def test_clients_that_are_remembered_are_bounded():
    rates = Rates(per_second=1, burst=2)
    for number in range(5000):
        rates.allow(str(number))
    assert len(rates._left) == 1024


def test_who_tries_tokens_is_slowed_down_but_nobody_else_at_the_same_address(app):
    still = Rates(per_second=1, burst=2, clock=lambda: 0.0)
    client = stranger(app, strangers=still)
    replies = [client.get("/api/status", headers={"authorization": "Bearer x"}) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [403, 403, 429]
    assert replies[2].headers["retry-after"] == "60"
    assert client.get("/api/status", headers=BEARER).status_code == 200


def test_those_who_may_come_may_not_come_without_end(app):
    client = stranger(app, people=Rates(per_second=1, burst=2, clock=lambda: 0.0))
    replies = [client.get("/api/status", headers=BEARER) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
