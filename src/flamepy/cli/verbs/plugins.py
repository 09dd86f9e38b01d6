"""``flamepy plugins list`` and ``check``: what is installed, and whether it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flamepy.cli.context_option import context_option
from flamepy.cli.engine import failure
from flamepy.cli.groups import CommandGroup
from flamepy.cli.showing.forms import Form, as_text, output_option
from flamepy.cli.showing.output import chosen, printable, show
from flamepy.config import FlameContext
from flamepy.errors import ConfigError

if TYPE_CHECKING:
    from flamepy.informers.plugins.loading import PluginInfo

F = TypeVar("F", bound=Callable[..., Any])
COLUMNS = ("name", "distribution", "version", "enabled", "value", "problem")


@click.group(cls=CommandGroup)
def plugins() -> None:
    """Show the informer plugins that are installed."""


@plugins.command("list")
@click.option(
    "--config",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Show which ones this flame.yaml enables.",
)
@context_option
@output_option()
def list_plugins(config: str | None, context: str | None, form: Form | None) -> None:
    """List the installed plugins, without loading any."""
    from flamepy.informers.plugins.loading import discover

    informers = _settings(context, config).informers
    enabled = {one.plugin or one.name for one in informers}
    _show([replace(one, enabled=one.name in enabled) for one in discover()], form)


@plugins.command()
@click.option(
    "--config",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Check this flame.yaml: every problem with its line.",
)
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="What flamepy run is given as well, for sinks, which need one; it is not opened.",
)
@context_option
@output_option()
def check(
    config: str | None, checkpoint: str | None, context: str | None, form: Form | None
) -> None:
    """Load every plugin, and make those that are enabled with their options.

    Exit status 1 if any is broken, or enabled and not installed, or if the file is.
    """
    from flamepy.informers.plugins.loading import check_plugins

    if config is not None:
        _check_file(config, context, form, checkpoint=checkpoint is not None)
        return
    found = check_plugins(context=_settings(context), checkpoint=checkpoint is not None)
    _show(found, form)
    if any(one.problem is not None for one in found):
        raise SystemExit(1)


def _check_file(path: str, context: str | None, form: Form | None, *, checkpoint: bool) -> None:
    from flamepy.cli.checks.config_file import check_file

    try:
        found = check_file(path, context, checkpoint=checkpoint)
    except ConfigError as error:
        raise failure(error) from None
    form = chosen(form)
    if form.kind in ("json", "yaml"):
        problems = [{"file": path, **asdict(one)} for one in found.findings]
        plugins = [asdict(one) for one in found.plugins]
        click.echo(as_text({"problems": problems, "plugins": plugins}, form))
    else:
        for one in found.findings:
            click.echo(printable(one.text(path)))
        if found.plugins and not found.findings:
            _show(found.plugins, form)
    if found.findings or any(one.problem is not None for one in found.plugins):
        raise SystemExit(1)


def _settings(context: str | None, config: str | None = None) -> FlameContext:
    try:
        return FlameContext(context=context, config_file=config)
    except ConfigError as error:
        raise failure(error) from None


def _show(found: list[PluginInfo], form: Form | None) -> None:
    show([asdict(one) for one in found], COLUMNS, form)
