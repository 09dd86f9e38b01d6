"""``flamepy cache``: the objects of an object cache, and files in it. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from flamepy.cli.engine import CALL_TIMEOUT, failure, silence_grpc
from flamepy.cli.output import Record, format_option, show
from flamepy.errors import FlameError, PickleRefusedError

if TYPE_CHECKING:
    from flamepy.objects.client import ObjectClient

LISTED = ("key", "bytes")
SHOWN = ("key", "version", "kind", "bytes", "patches", "value")
WRITTEN = ("key", "version", "endpoint")
PATIENCE = 5.0
PREVIEW = 200  # characters


@click.group()
@click.option(
    "--endpoint",
    metavar="URL",
    help="The cache; default: FLAME_CACHE_ENDPOINT, else ~/.flame/flame.yaml, else this machine.",
)
@click.pass_context
def cache(context: click.Context, endpoint: str | None) -> None:
    """List, read, write and remove objects of an object cache."""
    context.obj = endpoint


@cache.command("list")
@click.argument("prefix", default="")
@format_option
@click.pass_obj
def list_(endpoint: str | None, prefix: str, as_json: bool | None) -> None:
    """List objects whose key begins with PREFIX, such as training/shared.

    An engine's cache also lists objects that have left its memory.
    """
    with client_of(endpoint) as client:
        found = client.list(timeout=CALL_TIMEOUT)
    records = [{"key": one.key, "bytes": one.size} for one in found if one.key.startswith(prefix)]
    show(records, LISTED, as_json=as_json)


@cache.command()
@click.argument("key")
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Write the bytes to a file.")
@format_option
@click.pass_obj
def get(endpoint: str | None, key: str, output: str | None, as_json: bool | None) -> None:
    """Show what the object KEY is, or write its bytes to a file.

    Values are shown if they can be read without unpickling, which could run anything.
    """
    from flamepy.wire.objects import ObjectRef

    with client_of(endpoint) as client:
        ref = ObjectRef("", key)
        if output is None:
            show([described(client, ref)], SHOWN, as_json=as_json)
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
@click.argument("key")
@click.argument("file", type=click.Path(dir_okay=False))
@format_option
@click.pass_obj
def put(endpoint: str | None, key: str, file: str, as_json: bool | None) -> None:
    """Upload FILE under KEY: application/session/object, or application/session for a new one."""
    with client_of(endpoint) as client:
        try:
            ref = client.upload(key, file, timeout=CALL_TIMEOUT)
        except FlameError:
            raise  # some of them are OSErrors
        except OSError as error:
            raise failure(str(error)) from None
    record = {"key": ref.key, "version": ref.version, "endpoint": ref.endpoint}
    show([record], WRITTEN, as_json=as_json)


@cache.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.pass_obj
def rm(endpoint: str | None, keys: tuple[str, ...]) -> None:
    """Remove objects: application/session/object, application/session, or application/*."""
    with client_of(endpoint) as client:
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
        raise failure(error.message) from None
