"""``flamepy replay FILE``: plays a recording to informers, as a reactor would deliver it.

Logs go to standard error; standard output belongs to the informers. Exit status: 0 played to the
end, 1 a callback failed, 2 the command line, the recording or a plugin is unusable, 130 after
Ctrl-C.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flamepy.cli.context_option import context_option
from flamepy.cli.engine import failure, silence_grpc
from flamepy.cli.live import Interrupts, tell
from flamepy.cli.plugin_names import complete_plugins
from flamepy.cli.serving.logs import FORMATS, set_up_logging
from flamepy.config import FlameContext
from flamepy.errors import ConfigError, FlameError, PluginError
from flamepy.recording.file import Recording
from flamepy.recording.playback import AS_FAST_AS_POSSIBLE, Playback

if TYPE_CHECKING:
    from flamepy.informers.plugins.loading import Plugin

UNUSABLE = 2


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--plugin",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_plugins,
    help="Play to this plugin, with its options of flame.yaml; may be given more than once.",
)
@click.option(
    "--informer",
    "values",
    multiple=True,
    metavar="MODULE:CLASS",
    help="Play to this class, which need not be installed; may be given more than once.",
)
@click.option(
    "--speed",
    default=AS_FAST_AS_POSSIBLE,
    show_default=True,
    metavar="N",
    help="1 as it happened, 10 ten times as fast; max waits for nothing.",
)
@click.option("--application", metavar="NAME", help="Only this application.")
@click.option("--session", metavar="ID", help="Only this session.")
@context_option
@click.option("--strict", is_flag=True, help="End at once if a plugin is broken.")
@click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="Logs on standard error: lines for people, or one JSON object a line.",
)
def replay(
    file: Path,
    names: tuple[str, ...],
    values: tuple[str, ...],
    speed: str,
    application: str | None,
    session: str | None,
    context: str | None,
    strict: bool,
    log_format: str,
) -> None:
    """Play the recording FILE to informers.

    They get the events in the recorded order, with the flags, keys and times that they had. No
    engine is asked. Exit status 1 if a callback failed.
    """
    set_up_logging(log_format, logging.INFO)
    silence_grpc()
    if not names and not values:
        raise click.UsageError("give --plugin NAME, or --informer MODULE:CLASS")
    interrupts = Interrupts()
    try:
        recording = Recording(file)
        playback = Playback(speed=speed)
        for plugin in _plugins(FlameContext(context=context), names, values, strict):
            options = {"name": plugin.name, **plugin.arguments}
            options.pop("uid", None)
            scope = {"application": application, "session": session}
            given = {name: one for name, one in scope.items() if one is not None}
            playback.add(plugin.informer, **{**options, **given})
        with interrupts.handled():
            report = playback.run(interrupts.between(recording.items()))
    except (ConfigError, PluginError) as error:
        raise failure(error, UNUSABLE) from None
    except FlameError as error:
        raise failure(error) from None
    if interrupts.numbers:
        raise SystemExit(128 + interrupts.numbers[0])
    for handler in logging.getLogger().handlers:
        handler.flush()  # so that it is the last line
    tell(str(report))
    raise SystemExit(1 if report.failures else 0)


def _plugins(
    settings: FlameContext, names: tuple[str, ...], values: tuple[str, ...], strict: bool
) -> list[Plugin]:
    """Return what was named, and nothing else that flame.yaml enables."""
    from flamepy.informers.plugins.loading import load_informer, load_plugins

    found = load_plugins(names, strict=strict, context=settings)
    with suppress(FileNotFoundError):  # the working folder was removed: nothing is in it
        if values and os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
    found += [load_informer(value) for value in dict.fromkeys(values)]
    if not found:
        raise ConfigError("no plugin that was named works; `flamepy plugins check` says why")
    return found
