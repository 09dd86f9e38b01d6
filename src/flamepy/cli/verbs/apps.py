"""``flamepy apps``: list, register and unregister applications."""

from __future__ import annotations

from dataclasses import asdict

import click

from flamepy.cli.engine import CALL_TIMEOUT, completions, endpoint_option, engine, failure
from flamepy.cli.showing.forms import Form, Record, output_option
from flamepy.cli.showing.output import show
from flamepy.errors import AlreadyExistsError, ApplicationNotFoundError, ConfigError
from flamepy.local.manifest import read_manifest
from flamepy.texts import repr_of
from flamepy.types import Application

COLUMNS = ("name", "state", "max_instances", "delay_release", "creation_time", "command_line")


@click.group(invoke_without_command=True)
@endpoint_option
@output_option()
@click.pass_context
def apps(context: click.Context, endpoint: str | None, form: Form | None) -> None:
    """List applications, or register and unregister one."""
    if context.invoked_subcommand is None:
        with engine(endpoint) as connection:
            found = connection.list_applications(timeout=CALL_TIMEOUT)
        show([record(one) for one in found], COLUMNS, form)


def record(application: Application) -> Record:
    """Return what is shown of an application."""
    words = [application.command or "", *(application.arguments or ())]
    return {**asdict(application), "command_line": " ".join(filter(None, words)) or None}


@apps.command()
@click.argument("file", type=click.Path())
@click.option("--update", is_flag=True, help="Replace an application of that name.")
@endpoint_option
def register(file: str, update: bool, endpoint: str | None) -> None:
    """Register the application of the manifest FILE (YAML)."""
    try:
        name, attributes = read_manifest(file)
    except ConfigError as error:
        raise failure(error) from None
    with engine(endpoint) as connection:
        try:
            connection.register_application(name, attributes, timeout=CALL_TIMEOUT)
        except AlreadyExistsError:
            if not update:
                raise ConfigError(
                    f"application {repr_of(name)} of {file} is registered already; "
                    "add --update to replace it"
                ) from None
            connection.update_application(name, attributes, timeout=CALL_TIMEOUT)
    click.echo(f"registered {name}")


@apps.command()
@click.argument("name", shell_complete=completions("list_applications", "name"))
@endpoint_option
def unregister(name: str, endpoint: str | None) -> None:
    """Unregister the application NAME and drop its closed sessions."""
    with engine(endpoint) as connection:
        try:
            connection.unregister_application(name, timeout=CALL_TIMEOUT)
        except ApplicationNotFoundError:
            raise ApplicationNotFoundError(
                f"application {repr_of(name)} is not registered; `flamepy apps` lists those that "
                "are"
            ) from None
    click.echo(f"unregistered {name}")
