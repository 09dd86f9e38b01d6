"""``flamepy cache``: the objects of an object cache, and files in it. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flamepy.cli.engine import CALL_TIMEOUT, COMPLETION_TIMEOUT, failure, silence_grpc
from flamepy.cli.groups import CommandGroup
from flamepy.cli.showing.forms import Form, Record, output_option
from flamepy.cli.showing.output import show
from flamepy.errors import FlameError, PickleRefusedError

if TYPE_CHECKING:
    from flamepy.objects.client import ObjectClient

F = TypeVar("F", bound=Callable[..., Any])
LISTED = ("key", "bytes")
SHOWN = ("key", "version", "kind", "bytes", "patches", "value")
WRITTEN = ("key", "version", "endpoint")
PATIENCE = 5.0
PREVIEW = 200  # characters


def _cache_option(command: F) -> F:
    """Add ``--endpoint``, as the parameter ``cache_url``; it may be given to the group as well."""
    option = click.option(
        "--endpoint",
        "cache_url",
        metavar="URL",
        callback=lambda context, _, value: value or context.parent.params.get("cache_url"),
        help="The cache; default: FLAME_CACHE_ENDPOINT, else ~/.flame/flame.yaml, else this "
        "machine.",
    )
    return option(command)


def _keys(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Complete the keys of the objects; a cache that does not answer completes nothing."""
    url = context.params.get("cache_url")
    try:
        with redirect_stderr(StringIO()), client_of(url) as client:
            found = [one.key for one in client.list(timeout=COMPLETION_TIMEOUT)]
    except SystemExit:
        return []
    return sorted(key for key in found if key.startswith(begun))


@click.group(cls=CommandGroup)
@_cache_option
def cache(cache_url: str | None) -> None:
    """List, read, write and remove objects of an object cache."""


@cache.command("list")
@_cache_option
@click.argument("prefix", default="", shell_complete=_keys)
@output_option()
def list_(cache_url: str | None, prefix: str, form: Form | None) -> None:
    """List objects whose key begins with PREFIX, such as training/shared.

    An engine's cache also lists objects that have left its memory.
    """
    with client_of(cache_url) as client:
        found = client.list(timeout=CALL_TIMEOUT)
    records = [{"key": one.key, "bytes": one.size} for one in found if one.key.startswith(prefix)]
    show(records, LISTED, form)


@cache.command()
@_cache_option
@click.argument("key", shell_complete=_keys)
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Write the bytes to a file.")
@output_option(short=None)
def get(cache_url: str | None, key: str, output: str | None, form: Form | None) -> None:
    """Show what the object KEY is, or write its bytes to a file.

    Values are shown if they can be read without unpickling, which could run anything.
    """
    from flamepy.wire.objects import ObjectRef

    with client_of(cache_url) as client:
        ref = ObjectRef("", key)
        if output is None:
            show([described(client, ref)], SHOWN, form)
            return
        try:
            client.download(ref, output, timeout=CALL_TIMEOUT)
        except FlameError:
            raise  # some of them are OSErrors
        except OSError as error:
            raise failure(str(error)) from None


def described(client: ObjectClient, ref: Any) -> Record:
    """Return what is shown of an object."""
    entry = client.read(ref, timeout=CALL_TIMEOUT)
    try:
        value: Any = entry.base.value(allow_pickle=False)
        kind, text = type(value).__name__, " ".join(repr(value).split())
    except PickleRefusedError:
        kind, text = "pickle", None
    except FlameError:
        kind, text = "file", None
    if text is not None and len(text) > PREVIEW:
        text = f"{text[:PREVIEW]}..."
    return {
        "key": ref.key,
        "version": entry.version,
        "kind": kind,
        "bytes": entry.size,
        "patches": len(entry.patches),
        "value": text,
    }


@cache.command()
@_cache_option
@click.argument("key", shell_complete=_keys)
@click.argument("file", type=click.Path(dir_okay=False))
@output_option()
def put(cache_url: str | None, key: str, file: str, form: Form | None) -> None:
    """Upload FILE under KEY: application/session/object, or application/session for a new one."""
    with client_of(cache_url) as client:
        try:
            ref = client.upload(key, file, timeout=CALL_TIMEOUT)
        except FlameError:
            raise  # some of them are OSErrors
        except OSError as error:
            raise failure(str(error)) from None
    record = {"key": ref.key, "version": ref.version, "endpoint": ref.endpoint}
    show([record], WRITTEN, form)


@cache.command()
@_cache_option
@click.argument("keys", nargs=-1, required=True, metavar="KEY...", shell_complete=_keys)
def rm(cache_url: str | None, keys: tuple[str, ...]) -> None:
    """Remove objects: application/session/object, application/session, or application/*."""
    with client_of(cache_url) as client:
        for key in keys:
            client.delete(key, timeout=CALL_TIMEOUT)


@contextmanager
def client_of(endpoint: str | None) -> Iterator[ObjectClient]:
    """Give a client; any ``FlameError`` ends the program with one line, status 1."""
    silence_grpc()
    from flamepy.wire.objects import check_extra

    try:
        check_extra()
        from flamepy.config import FlameContext
        from flamepy.objects.client import ObjectClient
        from flamepy.types import RetryPolicy

        context = FlameContext(cache_endpoint=endpoint)
        client = ObjectClient(
            context, policy=RetryPolicy(), patience=PATIENCE, on_ambiguous="verify"
        )
        try:
            yield client
        finally:
            client.close()
    except FlameError as error:
        raise failure(error) from None
