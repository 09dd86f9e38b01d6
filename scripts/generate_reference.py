"""Write the pages of docs/reference, and the sections of docs/errors.md, from the code.

``--check`` writes nothing, and ends with status 1 if a page is not what the code says.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from flamepy.cli.commands import COMMANDS, flamepy
from flamepy.cli.error_help import HELP, classes
from flamepy.informers import (
    ApplicationEvent,
    EventKind,
    EventSource,
    OverdueEvent,
    SessionEvent,
    SessionEventKind,
    SessionProgress,
    TaskEvent,
    signals,
)
from flamepy.informers.event_names import OF_SESSIONS, OF_TASKS, OVERDUE
from flamepy.informers.informer import Informer, SessionInformer, TaskInformer

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BEGIN, END = "do not edit -->\n", "<!-- end -->"
NOTE = "<!-- from the code, by scripts/generate_reference.py; do not edit -->"
VARIABLE = re.compile(r"\bFLAME_[A-Z_]*[A-Z]\b")
ENVIRONMENT = {
    "FLAME_ENDPOINT": "the engine of clients and commands without one; services get the frontend's",
    "FLAME_CONFIG": "a file to read instead of `~/.flame/flame.yaml`",
    "FLAME_CA_FILE": "certificate of the engine's authority; services get it as well",
    "FLAME_CERT_FILE": "this client's certificate",
    "FLAME_KEY_FILE": "the key of this client's certificate",
    "FLAME_TOKEN": "a bearer token that every call carries",
    "FLAME_CACHE_ENDPOINT": "the object cache",
    "FLAME_CACHE_ALLOW_PICKLE": "whether objects that are pickles may be loaded",
    "FLAME_CACHE_STORAGE": "the official SDK's folder of objects",
    "FLAME_INFORMERS": "plugins to enable, by name, separated by commas; empty for none",
    "FLAME_CHECKPOINT": "the file that `deadletters` and `outbox` open",
    "FLAME_HTTP": "where `flamepy run --http` listens, for `handlers`, `explain`, `top`, `report`",
    "FLAME_HTTP_TOKEN": "the token of `flamepy run --http`",
    "FLAME_DASHBOARD_TOKEN": "the token of `flamepy dashboard`",
    "FLAME_INSTANCE_ENDPOINT": "of a service: the path of the socket to serve",
    "FLAME_LOG": "of a service: the level of its logs",
    "FLAME_WORKSPACE": "the workspace, of engines that have workspaces",
    "FLAME_DIALECT": "of a service: the wire of its engine, `0.6` or `next`",
    "FLAME_HOME": "of an engine's machine: where its own services are installed",
    "FLAME_PYTHON_VERSION": "of an application: the Python that runs it, such as `3.12`",
    "FLAME_APP_DIR": "of a service: the folder into which the application's package was unpacked",
}
OTHERS = {"FLAME_RUNNER_TEMPLATE"}  # parts of names of constants


def cell(text: object) -> str:
    """Return a text as a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("``", "`")


def table(*rows: Iterable[object]) -> str:
    """Return a table; the first row is its head."""
    lines = ["| " + " | ".join(map(cell, row)) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * lines[0].replace("\\|", "").count(" | ") + "---|")
    return "\n".join(lines)


def attributes(kind: type) -> dict[str, str]:
    """Return what the docstring of a class says of its attributes."""
    part = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^    ([\w, ]+): ((?:.|\n(?!    \w))*)", part, re.MULTILINE)
    return {name: text for names, text in found for name in names.split(", ")}


def signals_page() -> str:
    """Return the page of all signals."""
    rows = [("signal", "sent when", "keyword arguments", "sender")]
    for name, one in sorted(signals.namespace.items()):
        if isinstance(one, signals.FlameSignal) and one.arguments is not None:
            arguments = ", ".join(f"`{argument}`" for argument in sorted(one.arguments))
            rows.append((f"`{name}`", doc_of(one), arguments, one.sent_by.name.lower()))
    return (
        "# Signals\n\nOf `flamepy.informers.signals`. Connect a function that takes `**_`; more "
        "arguments may come. An `application` as sender is its name, an `endpoint` the engine's "
        f"URL.\n\n{table(*rows)}\n"
    )


def doc_of(signal: object) -> str:
    """Return what a signal says of itself."""
    return str(getattr(signal, "__doc__", "") or "")


def events_page() -> str:
    """Return the page of the events and of the callbacks that get them."""
    parts = ["# Events", "What callbacks, signals and streams get. All are frozen."]
    for kind in (TaskEvent, SessionEvent, SessionProgress, OverdueEvent, ApplicationEvent):
        says = attributes(kind)
        rows = [("field", "what")]
        rows += [(f"`{one.name}`", says.get(one.name, "")) for one in dataclasses.fields(kind)]
        first = inspect.cleandoc(kind.__doc__ or "").splitlines()[0]
        parts += [f"## {kind.__name__}", first, table(*rows)]
        more = [
            (f"`{name}`", (inspect.getdoc(value) or "").splitlines()[0])
            for name, value in sorted(vars(kind).items())
            if isinstance(value, property) and value.__doc__
        ]
        if more:
            parts.append(table(("also", "what"), *more))
    parts += ["## Kinds and sources"]
    for enum in (EventKind, SessionEventKind, EventSource):
        says = attributes(enum)
        parts.append(
            table(
                (enum.__name__, "text", "what"),
                *((f"`{one.name}`", f"`{one.value}`", says.get(one.name, "")) for one in enum),
            )
        )
    parts += [
        "## Names for `events=`",
        table(
            ("of", "names"),
            ("tasks", ", ".join(f"`{one}`" for one in OF_TASKS)),
            ("sessions", ", ".join(f"`{one}`" for one in OF_SESSIONS)),
            ("rules", f"`{OVERDUE}`"),
        ),
        "## Callbacks",
    ]
    for kind in (TaskInformer, SessionInformer):
        rows = [("callback", "what")]
        for name in sorted(name for name in dir(kind) if name.startswith("on_")):
            text = inspect.getdoc(getattr(kind, name)) or inspect.getdoc(getattr(Informer, name))
            rows.append((f"`{name}`", (text or "").split("\n\n")[0]))
        parts += [f"### {kind.__name__}", table(*rows)]
    return "\n\n".join(parts) + "\n"


def commands_page() -> str:
    """Return the page of every command with its arguments and options."""
    parts = [
        "# Commands and options",
        "Every command of `flamepy`, as its `--help` has it. [What they are for](../commands.md).",
    ]
    context = click.Context(flamepy, info_name="flamepy")
    parts += [table(("option", "default", "what"), *options(flamepy))]
    for name in sorted(COMMANDS):
        command = flamepy.get_command(context, name)
        assert command is not None
        parts += section(f"flamepy {name}", command, 2)
    return "\n\n".join(parts) + "\n"


def section(path: str, command: click.Command, level: int) -> list[str]:
    """Return the section of a command, and those of the commands in it."""
    words = [path]
    words += [argument(one) for one in command.params if isinstance(one, click.Argument)]
    if isinstance(command, click.Group):
        words.append("COMMAND" if not command.invoke_without_command else "[COMMAND]")
    said = inspect.cleandoc(command.help or "").replace("\b\n", "").partition("\f")[0].strip()
    parts = ["#" * level + f" {path}", f"`{' '.join(words)}`", escaped(said)]
    rows = list(options(command))
    if rows:
        parts.append(table(("option", "default", "what"), *rows))
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            parts += section(f"{path} {name}", inner, min(level + 1, 4))
    return parts


def escaped(text: str) -> str:
    """Return a help text whose angle brackets and stars stay what they are."""
    return re.sub(r"([<>*\[\]])", r"\\\1", text)


def argument(one: click.Argument) -> str:
    """Return an argument as its usage line shows it."""
    name = re.sub(r"[\[\].]", "", one.metavar or one.name or "").upper()
    many = "..." if one.nargs != 1 else ""
    return f"{name}{many}" if one.required else f"[{name}{many}]"


def options(command: click.Command) -> Iterable[tuple[str, str, str]]:
    """Yield the rows of a command's options."""
    for one in command.params:
        if not isinstance(one, click.Option) or one.hidden:
            continue
        names = ", ".join([*one.opts, *one.secondary_opts])
        takes = "" if one.is_flag or one.count else f" {one.metavar or one.type.name.upper()}"
        shown = one.show_default and isinstance(one.default, (str, int, float))
        default = f"`{one.default}`" if shown and not one.is_flag else ""
        yield f"`{names}{takes}`", default, escaped(one.help or "")


def environment_page() -> str:
    """Return the page of the environment's variables.

    Raises:
        SystemExit: the code has a variable that the page would leave out, or the other way round.
    """
    found = set()
    for path in (ROOT / "src" / "flamepy").rglob("*.py"):
        found |= set(VARIABLE.findall(path.read_text(encoding="utf-8")))
    found -= OTHERS
    if found != set(ENVIRONMENT):
        odd = ", ".join(sorted(found ^ set(ENVIRONMENT)))
        raise SystemExit(f"ENVIRONMENT of scripts/generate_reference.py and the code differ: {odd}")
    rows = [(f"`{name}`", ENVIRONMENT[name]) for name in sorted(ENVIRONMENT)]
    return (
        "# Environment variables\n\nWhat is given in code or on the command line goes before a "
        "variable, a variable before the file ([configuration](../configuration.md)).\n\n"
        f"{table(('variable', 'what'), *rows)}\n"
    )


def metrics_page() -> str:
    """Return the page of the metrics, from the plugins' own tables."""
    parts = [
        "# Metrics",
        "Of [flamepy-prometheus](../../plugins/flamepy-prometheus/README.md), at `/metrics`. "
        "[How to export them](../how-to/metrics-and-traces.md).",
    ]
    text = (ROOT / "plugins" / "flamepy-prometheus" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `flame_.*$", text, re.MULTILINE)
    parts.append("\n".join(["| metric | labels | what |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def errors_sections(text: str) -> str:
    """Return docs/errors.md with the sections as they are now."""
    parts = []
    for code, kind in classes().items():
        known = HELP[code]
        find = "\n".join(f"- `{one}`" for one in known.find)
        parts.append(
            f"### {code}\n\n**`{kind.__name__}`.** {known.why}\n\nFind out:\n\n{find}\n\n"
            f"{known.way_out}"
        )
    before, _, rest = text.partition(BEGIN)
    sections = "\n\n".join(parts)
    return f"{before}{BEGIN}\n{sections}\n\n{END}{rest.partition(END)[2]}"


def pages() -> dict[Path, str]:
    """Return the text of each page by its file."""
    made = {
        "signals.md": signals_page(),
        "events.md": events_page(),
        "commands.md": commands_page(),
        "environment.md": environment_page(),
        "metrics.md": metrics_page(),
    }
    found = {DOCS / "reference" / name: f"{NOTE}\n\n{text}" for name, text in made.items()}
    errors = DOCS / "errors.md"
    found[errors] = errors_sections(errors.read_text(encoding="utf-8"))
    return found


def main(arguments: list[str]) -> int:
    """Write or check the pages; return the exit status."""
    stale = []
    for path, text in pages().items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(path.relative_to(ROOT).as_posix())
            if "--check" not in arguments:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if "--check" in arguments and stale:
        print(f"run scripts/generate_reference.py; not as the code is: {', '.join(stale)}")
        return 1
    print("reference: ok" if not stale else f"written: {', '.join(stale)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
