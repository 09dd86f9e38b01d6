"""The token of a dashboard is made where one is needed, and never in an address that is logged."""

from __future__ import annotations

import pytest

from flamepy.cli.serving.dashboards import VARIABLE, history_of, others, token_for
from flamepy.cli.serving.http_port import Request


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_machines_own_address_needs_no_token(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert token_for(host) is None
    monkeypatch.setenv(VARIABLE, "given")
    assert token_for(host) == "given"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "flame.example"])
def test_any_other_gets_one(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    made = token_for(host)
    assert made is not None
    assert len(made) >= 32
    assert made != token_for(host)


def test_charts_are_kept_beside_a_checkpoint() -> None:
    assert history_of("state.db") == "state.db.charts"
    assert history_of(None) is None


class Health:
    """Lives and is not ready."""

    live, ready = True, False

    def to_dict(self) -> dict[str, object]:
        return {"state": "running"}


def test_health_and_steering_share_the_port() -> None:
    seen: list[Request] = []

    def act(request: Request) -> object:
        seen.append(request)
        return (lambda: (200, b"{}")) if request.path == "/handlers" else None

    other = others(act, Health)  # type: ignore[arg-type]
    assert other("GET", "/healthz", {}, "") == (200, b'{"state": "running"}\n')
    assert other("GET", "/readyz", {}, "") == (503, b'{"state": "running"}\n')
    assert other("GET", "/handlers", {"a": "b"}, "t") == (200, b"{}")
    assert (seen[0].token, seen[0].query) == ("t", {"a": "b"})
    assert other("GET", "/sessions", {}, "t") is None
