"""Who may read the page, and what no request gets: over HTTP, as a browser or an attacker asks."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dash", reason="the page needs runslot[view]")

from runslot.errors import Busy, InvalidInput, NotFound, extra_said
from runslot.view.web.app import make_app
from runslot.view.web.guard import Readers, guard_for, token_for
from runslot.view.web.live_runs import LiveRuns
from runslot.view.web.server import bind

HOST = "127.0.0.1:8050"


def client(
    path: Path, host: str = "127.0.0.1", *, token: bool = True, allowed: tuple[str, ...] = ()
) -> tuple[Any, str]:
    guard = guard_for(host, 8050, allowed, token=token)
    return make_app(LiveRuns([path], cache=False), guard).server.test_client(), guard.token or ""


def get(asked: Any, path: str = "/", host: str = HOST, **headers: str) -> Any:
    return asked.get(path, base_url=f"http://{host}", headers=headers)


def test_the_token_comes_once_in_the_address_and_stays_in_a_cookie(runs: Path) -> None:
    asked, token = client(runs)
    assert get(asked).status_code == 401
    assert get(asked, "/_dash-layout").status_code == 401
    assert get(asked, "/?token=wrong").status_code == 401
    welcomed = get(asked, f"/?token={token}&series=lr&series=hidden")
    assert welcomed.status_code == 302
    assert welcomed.headers["Location"] == "/?series=lr&series=hidden"
    assert "HttpOnly" in welcomed.headers["Set-Cookie"]
    assert get(asked).status_code == 200


@pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example", "///evil.example"])
def test_the_token_leads_nowhere_else(runs: Path, path: str) -> None:
    asked, token = client(runs)
    query = {"PATH_INFO": path, "QUERY_STRING": f"token={token}"}
    location = asked.get("/", base_url=f"http://{HOST}", environ_overrides=query).headers[
        "Location"
    ]
    assert location.startswith("/")
    assert location[1:2] not in {"/", "\\"}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8050",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8050",
        "",
    ],
)
def test_a_foreign_name_is_refused(runs: Path, host: str) -> None:
    asked, _ = client(runs, token=False)
    refused = asked.get("/", base_url="http://127.0.0.1", headers={"Host": host})
    assert refused.status_code in {400, 403}
    assert b"react-entry-point" not in refused.data


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8050", "localhost:9000", "[::1]:8050", "10.0.0.7:80", "proxy.example"]
)
def test_own_names_and_addresses_are_answered(runs: Path, host: str) -> None:
    asked, _ = client(runs, token=False, allowed=("proxy.example",))
    assert get(asked, host=host).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8050"]
)
def test_another_sites_page_gets_no_answer(runs: Path, origin: str) -> None:
    asked, _ = client(runs, token=False)
    refused = asked.post(
        "/_dash-update-component", base_url=f"http://{HOST}", json={}, headers={"Origin": origin}
    )
    assert refused.status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["/", "/export?as=pdf", "/_dash-layout", "/alive", "/run?run=x"])
def test_what_another_site_asks_for_is_refused_also_without_a_token(
    runs: Path, site: str, path: str
) -> None:
    asked, _ = client(runs, token=False)
    refused = get(asked, path, **{"Sec-Fetch-Site": site})
    assert refused.status_code == 403
    assert b"another site" in refused.data


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_what_its_own_page_or_somebody_at_the_keyboard_asks_for_is_answered(
    runs: Path, site: str
) -> None:
    asked, _ = client(runs, token=False)
    assert get(asked, "/alive", **{"Sec-Fetch-Site": site}).status_code == 200


def test_the_token_is_kept_for_one_user_and_what_is_shown(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    token = token_for([str(runs)])
    assert token_for([str(runs)]) == token
    assert token_for([str(tmp_path)]) != token
    (file,) = [
        file
        for file in (tmp_path / "state").rglob("*")
        if file.is_file() and file.read_text() == token
    ]
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)  # others have read it by now
    other = token_for([str(runs)])
    assert other != token
    assert file.stat().st_mode & 0o777 == 0o600
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text(token)
    assert token_for([str(runs)]) not in {token, other}
    (tmp_path / "state2").write_text("a file")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state2"))
    assert token_for([str(runs)]) != token_for([str(runs)])


def test_a_readers_token_is_taken_until_it_is_withdrawn(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    guard = guard_for("127.0.0.1", 8050, (), roots=[str(runs)])
    server = make_app(LiveRuns([runs], cache=False), guard).server
    anna, ben = server.test_client(), server.test_client()
    tokens = {name: Readers([str(runs)]).admit(name) for name in ("anna", "ben")}
    assert len({*tokens.values(), guard.token}) == 3
    assert Readers([str(runs)]).admit("anna") == tokens["anna"]
    assert get(anna, f"/?token={tokens['anna']}").status_code == 302
    assert get(ben, f"/?token={tokens['ben']}").status_code == 302
    Readers([str(runs)]).withdraw("anna")
    assert get(anna).status_code == 401
    assert get(anna, f"/?token={tokens['anna']}").status_code == 401
    assert get(ben).status_code == 200
    with pytest.raises(InvalidInput, match="ben has one"):
        Readers([str(runs)]).withdraw("anna")
    for name in ("../x", "", "a b", ".hidden"):
        with pytest.raises(InvalidInput):
            Readers([str(runs)]).admit(name)


def test_the_browser_is_told_to_load_nothing_from_elsewhere(runs: Path) -> None:
    asked, _ = client(runs, token=False)
    answer = get(asked)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert b"https://" not in answer.data.replace(b'content="https://', b"")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_others_are_let_in_with_a_token_alone() -> None:
    for host in ("0.0.0.0", "::", "192.168.0.7"):
        with pytest.raises(InvalidInput, match="--no-token"):
            guard_for(host, 8050, (), token=False)
        assert guard_for(host, 8050, ()).token
    assert guard_for("127.0.0.1", 1, ()).token != guard_for("127.0.0.1", 1, ()).token


def test_a_taken_port_is_said(runs: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Busy, match="--port"):
        bind([runs], port=taken.getsockname()[1])
    with pytest.raises(InvalidInput, match="--host"):
        bind([runs], "203.0.113.9", 0)
    with pytest.raises(NotFound):
        bind([runs / "nothing"], port=0)


def test_the_export_is_a_zip_of_figure_data_and_script(runs: Path) -> None:
    pytest.importorskip("matplotlib", reason="figures need runslot[plot]")
    asked, _ = client(runs, token=False)
    sent = get(asked, "/export?as=svg&series=lr&split=hidden")
    assert sent.mimetype == "application/zip"
    assert sent.data.startswith(b"PK")
    refused = get(asked, "/export?as=exe")
    assert refused.status_code == 400
    assert get(asked, "/export?as=svg&y=nothing").status_code == 400


def test_pages_of_no_runs_and_of_unknown_ones_are_pages(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    asked, _ = client(tmp_path / "empty", token=False)

    def page(path: str, search: str = "") -> str:
        inputs = [
            {"id": "at", "property": "pathname", "value": path},
            {"id": "at", "property": "search", "value": search},
            {"id": "back", "property": "data", "value": None},
        ]
        call = {
            "output": "page.children",
            "outputs": {"id": "page", "property": "children"},
            "inputs": inputs,
            "changedPropIds": ["at.pathname"],
            "state": [],
        }
        answer = asked.post("/_dash-update-component", base_url=f"http://{HOST}", json=call)
        assert answer.status_code == 200
        return str(answer.get_data(as_text=True))

    assert "SegmentedControl" in page("/")
    assert "there is no run" in page("/run", "?run=../../etc")
    assert "there is no run" in page("/compare", "?a=x&b=y")
    assert "is none of" in page("/", "?kind=pie")


def test_without_the_extra_the_commands_say_what_to_install(runs: Path, tmp_path: Path) -> None:
    for missing, command, extra in (
        ("dash", ["view"], "view"),
        ("matplotlib", ["plot", "-o", "f.pdf"], "plot"),
    ):
        call = f"from runslot.__main__ import main; sys.exit(main({[*command, str(runs)]!r}))"
        script = f"import sys; sys.modules[{missing!r}] = None; {call}"
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 2
        assert extra_said(extra) in done.stderr
