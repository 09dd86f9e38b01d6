"""What a first-time user does next: start an engine, register an application. Pure texts.

Appended to the messages of errors whose own text, the engine's or gRPC's, names no way out.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flamepy.host.addresses import is_here

ENGINE, CACHE = (8080, "--port"), (9090, "--cache-port")  # default port, option of `flamepy up`
_PLAIN = frozenset({"http", "grpc", "grpc+tcp"})


def start_one(endpoint: str, served: tuple[int, str] = ENGINE) -> str:
    """Return how to get an engine, or an object cache, at an endpoint where nothing answers."""
    parts = urlsplit(endpoint)
    if parts.scheme not in _PLAIN or not is_here(parts.hostname or ""):
        return (
            "; is the address right? `flamepy doctor` shows where it fails, and `flamepy up` "
            "starts an engine on this machine"
        )
    default, option = served
    port = parts.port or default
    command = "flamepy up" if port == default else f"flamepy up {option} {port}"
    return f"; nothing runs there: start an engine on this machine with `{command}`"


def register(application: str | None) -> str:
    """Return how an application becomes known."""
    name = "NAME" if application is None else repr(application)
    return (
        "; register it with `flamepy apps register FILE.yaml`, or "
        f"register_application({name}, ...)"
    )
