"""What the commands that ask an engine share: ``--endpoint``, connecting, errors of one line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from flamepy.cli.showing.output import printable
from flamepy.errors import FlameError, UnavailableError

F = TypeVar("F", bound=Callable[..., Any])
CONNECT_TIMEOUT = 5.0
CALL_TIMEOUT = 60.0
COMPLETION_TIMEOUT = 1.0
DOCTOR = "`flamepy doctor`"
EXPLAIN = "flamepy explain-error"


def endpoint_option(command: F) -> F:
    """Add ``--endpoint``; given at a group around the command, it holds for the command."""
    option = click.option(
        "--endpoint",
        metavar="URL",
        callback=lambda context, parameter, value: value or _endpoint(context.parent),
        help="The engine; default: FLAME_ENDPOINT, else ~/.flame/flame.yaml, else this machine.",
        shell_complete=_complete_endpoint,
    )
    return option(command)


def _complete_endpoint(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the endpoints of ``flame.yaml`` and the environment that begin so."""
    from flamepy.config import FlameContext

    try:
        found = FlameContext().address.url
    except FlameError:
        return []
    return [found] if found.startswith(begun) else []


@contextmanager
def engine(endpoint: str | None, timeout: float = CONNECT_TIMEOUT) -> Iterator[Any]:
    """Give a ``core.Connection``; any ``FlameError`` ends the program with one line, status 1.

    It is typed ``Any`` because ``core`` is imported when it is needed only.
    """
    silence_grpc()
    from flamepy.core import connect

    try:
        with connect(endpoint, timeout=timeout) as connection:
            yield connection
    except UnavailableError as error:
        more = "" if DOCTOR in error.message else f"; {DOCTOR} shows where it fails"
        raise failure(f"{error.message}{more}", code=error.short_code) from None
    except FlameError as error:
        raise failure(error) from None


def failure(what: str | FlameError, status: int = 1, *, code: str | None = None) -> SystemExit:
    """Write the command and the message as the last line; return the end of the program.

    An error's code follows its message, as the command that explains it.

    Log lines, which another thread writes, come before it. Text and line end are one write: with
    an unbuffered stream ``print`` makes two, and a line of another writer gets between them.
    """
    for handler in logging.getLogger().handlers:
        handler.flush()
    path = click.get_current_context().command_path
    message, code = (
        (what.message, what.short_code) if isinstance(what, FlameError) else (what, code)
    )
    more = f" ({EXPLAIN} {code})" if code else ""
    sys.stderr.write(f"{path}: {printable(' '.join(message.split()))}{more}\n")
    sys.stderr.flush()
    return SystemExit(status)


def silence_grpc() -> None:
    """Keep gRPC's own log lines out of the terminal; call it before gRPC is imported.

    Not for ``flamepy up``, whose services inherit the environment.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def completions(method: str, attribute: str) -> Callable[..., list[str]]:
    """Return what completes a word with an attribute of what a connection's method lists."""
    return completing(
        lambda connection, _: [
            getattr(one, attribute)
            for one in getattr(connection, method)(timeout=COMPLETION_TIMEOUT)
        ]
    )


def completing(names: Callable[[Any, click.Context], Iterable[str]]) -> Callable[..., list[str]]:
    """Return what completes a word with names that a function reads from a connection.

    An engine that does not answer within ``COMPLETION_TIMEOUT`` seconds completes nothing.
    """

    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
        silence_grpc()
        from flamepy.core import connect

        try:
            with connect(_endpoint(context), timeout=COMPLETION_TIMEOUT) as connection:
                found = list(names(connection, context))
        except FlameError:
            return []
        return sorted(name for name in found if name.startswith(begun))

    return complete


def complete_tasks(connection: Any, context: click.Context) -> list[str]:
    """Return the ids of the tasks of the session that the words before name; for ``completing``."""
    found = connection.get_session(context.params["session"], timeout=COMPLETION_TIMEOUT)
    return [one.id for one in found.list_tasks(timeout=COMPLETION_TIMEOUT)]


def _endpoint(context: click.Context | None) -> str | None:
    """Return the ``--endpoint`` of the command, or of a group around it."""
    while context is not None:
        found: str | None = context.params.get("endpoint")
        if found is not None:
            return found
        context = context.parent
    return None
