"""The table of every key of ``flame.yaml``: what is read, checked, documented and completed by it.

A new option of ``Reactor.register``, a new setting of a reactor or a new key of a context is one
row here; tests/unit/config/test_keys.py fails while it is missing.
"""

from __future__ import annotations

from flamepy.config.schema.kinds import (
    Choice,
    Flag,
    Key,
    Kind,
    ListOf,
    Mapped,
    Null,
    Number,
    OneOf,
    Section,
    Text,
)
from flamepy.workspaces import WORKSPACE_PATTERN

EVENTS = (
    *("added", "running", "succeeded", "failed", "cancelled", "terminal", "requeued", "deleted"),
    *("opened", "progress", "drained", "closed", "event", "overdue"),
)
EXPECTED = ("start", "run", "end", "drained", "progress", "tasks")
STATES = ("pending", "running", "succeed", "failed", "cancelled", "open", "closed")

_SECONDS = Number(least=0, unit="seconds")
_SECONDS_ABOVE = Number(above=0, unit="seconds")
_COUNT = Number(least=1, whole=True)
_FUNCTION = Text("a function, written module:function", r"^[\w.]+:[\w.]+$")


def _or_null(kind: Kind, about: str = "null") -> OneOf:
    return OneOf((kind, Null(about)))


RETRY = Section(
    (
        Key("attempts", _COUNT, "how often it is tried at most, the first try included"),
        Key("timeout", _or_null(_SECONDS_ABOVE), "seconds for all attempts together"),
        Key("wait_initial", _SECONDS, "seconds of the first wait"),
        Key("wait_max", _SECONDS, "the limit of any wait, in seconds"),
        Key("wait_jitter", _SECONDS, "each wait gets a random extra of up to these seconds"),
        Key("wait_exp_base", Number(least=1), "each wait is the one before times this"),
        Key("budget", OneOf((Flag(), Number(least=0))), "whether, or how, repeats are bounded"),
    ),
    "a mapping such as {attempts: 3}",
)

RULE = Section(
    (
        Key("expect", Choice(EXPECTED), "what is to happen in time", needed=True),
        Key("within", _SECONDS_ABOVE, "in how many seconds", needed=True),
        Key("application", Text("an application's name"), "only in sessions of this one"),
        Key("where", _FUNCTION, "only where this function of a task or session is true"),
    ),
    "a rule such as {expect: end, within: 600}",
)

WHERE = Section(
    (
        Key("live", Flag(), "only what happened after the registration"),
        Key("changed", Flag(), "only what shows a new state"),
        Key("state", ListOf(Choice(STATES)), "only tasks, or sessions, in one of these states"),
        Key("application", ListOf(Text("a name")), "only of these applications"),
        Key("session", ListOf(Text("an id")), "only of these sessions"),
    ),
    "a mapping such as {live: true, state: [failed]}",
)

REGISTRATION = (
    Key("application", Text("an application's name"), "only sessions of this application"),
    Key("session", Text("a session's id"), "only this session"),
    Key(
        "events",
        ListOf(Choice(EVENTS), about="a list of names of events"),
        "only these events: names of callbacks without `on_`",
    ),
    Key(
        "where",
        OneOf((_FUNCTION, WHERE), "module:function, or a mapping such as {state: [failed]}"),
        "only events for which all of this is true",
    ),
    Key("transform", _FUNCTION, "gives the callbacks the event that it returns"),
    Key("uid", Text(), "its name in a checkpoint; by default `name`"),
    Key("queue_size", _COUNT, "events that wait at most"),
    Key("retry", RETRY, "how a callback that raised is called again"),
    Key(
        "timeout",
        _or_null(_SECONDS_ABOVE, "null for no limit"),
        "seconds after which a callback is reported",
    ),
    Key("replay", Choice(("all", "active", "none")), "which existing tasks are delivered first"),
    Key("resume", Flag(), "false keeps it out of the checkpoint"),
    Key("batch_size", _COUNT, "events that `on_batch` gets at most"),
    Key("batch_delay", _SECONDS, "and their greatest age in seconds"),
    Key("workers", _COUNT, "callbacks that run side by side at most"),
    Key(
        "key",
        OneOf(
            (Choice(("task", "session", "application")), _FUNCTION),
            "one of task, session, application, or module:function",
        ),
        "what they share out",
    ),
    Key("on_stuck", Choice(("report", "replace")), "what is done about a stuck callback"),
    Key("transitions", Choice(("observed", "complete")), "whether skipped states are inserted"),
    Key(
        "rules",
        ListOf(RULE, about="a list of rules such as {expect: end, within: 600}"),
        "what is expected in time, for `on_overdue`",
    ),
    Key("max_failures", _COUNT, "events that fail in a row before the others wait"),
    Key("probe_delay", _SECONDS_ABOVE, "seconds until one of these is tried"),
)
"""The arguments of ``Reactor.register``, ``name`` left out, which every entry has."""

INFORMER = Section(
    (
        Key("name", Text("a name"), "what it is called, each once; see `plugin`", needed=True),
        Key(
            "plugin",
            Text("the name of an installed plugin, or module:Class"),
            "the plugin that it is one of; by default the one called `name`",
        ),
        Key(
            "options",
            Mapped(about="a mapping of the plugin's options", hidden=True),
            "what the plugin is made with: its own options",
        ),
        *REGISTRATION,
    ),
    "a mapping such as {name: ..., options: {...}}, or a name",
    hint="; what is for the plugin goes below options",
)

REACTOR = Section(
    (
        Key("checkpoint", Text("a file's path"), "stores what was delivered, over restarts"),
        Key(
            "dead_letters",
            OneOf((Flag(), Text("a file's path")), "true, false or a file's path"),
            "whether events that failed for good are stored, or where without a checkpoint",
        ),
        Key("strict", Flag(), "ends at once if a plugin is broken"),
        Key("signal_replay", Choice(("all", "active", "none")), "what receivers of signals get"),
        Key("exit_timeout", _SECONDS, "seconds by which the process's end may be delayed"),
        Key(
            "poll_interval",
            OneOf(
                (_SECONDS_ABOVE, ListOf(_SECONDS_ABOVE, 2)),
                "seconds above 0, or two of them: while changes come, and while nothing happens",
            ),
            "seconds between polls: one number, or two",
        ),
        Key("poll_timeout", _or_null(_SECONDS_ABOVE), "seconds until a poll counts as failed"),
        Key("audit", _SECONDS_ABOVE, "seconds in which every session is listed once"),
        Key(
            "watch_budget",
            Number(least=0, whole=True),
            "streams of single tasks open at most, and a quarter of those of sessions",
        ),
        Key("calls_per_second", Number(above=0), "calls that looking may cost"),
        Key("bytes_per_second", Number(above=0), "bytes that looking may cost"),
        Key("payloads", Flag(), "whether informers get inputs and outputs"),
        Key("retain_terminal", Number(least=0, whole=True), "finished tasks that are remembered"),
        Key("stall_after", _SECONDS_ABOVE, "seconds after which a pending task is reported"),
        Key("ready_within", _or_null(_SECONDS), "how old what is known may be for /readyz"),
    ),
    "a mapping such as {checkpoint: state.db}",
)

_FILE = Text("a file's path")
TLS = Section(
    (
        Key("ca_file", _FILE, "the authority to trust"),
        Key("cert_file", _FILE, "a client certificate; with `key_file`"),
        Key("key_file", _FILE, "its key"),
    ),
    "a mapping such as {ca_file: ca.pem}",
    open=True,
)
CLUSTER = Section(
    (
        Key("endpoint", Text("a URL"), "the engine"),
        Key("tls", TLS, "files for TLS"),
        Key(
            "keepalive",
            Section(
                (
                    Key("time", _SECONDS_ABOVE, "seconds of silence before a ping"),
                    Key("timeout", _SECONDS_ABOVE, "seconds for its answer"),
                ),
                "a mapping such as {time: 60, timeout: 20}",
                open=True,
            ),
            "when an engine that is silent while a call waits is pinged",
        ),
        Key(
            "workspace",
            Text("a workspace's name", f"^{WORKSPACE_PATTERN}$"),
            "in which everything is, at engines that have workspaces; `default` if absent",
        ),
        Key(
            "token",
            Text("text, best '${NAME}' of an environment variable", hidden=True),
            "a bearer token that every call carries",
        ),
        Key(
            "metadata",
            Mapped(Text(hidden=True), "a mapping of keys to texts", hidden=True),
            "what every call carries",
        ),
    ),
    open=True,
)
CONTEXT = Section(
    (
        Key("name", Text("a name"), "what `current-context` and `--context` call it", needed=True),
        Key("cluster", CLUSTER, "the engine, and how it is reached"),
        Key(
            "cache",
            Section(
                (
                    Key("endpoint", Text("a URL"), "the object cache"),
                    Key("storage", Text("a folder's path"), "a folder shared with it"),
                    Key("tls", TLS, "files for TLS"),
                    Key("allow_pickle", Flag(), "whether objects that are pickles are loaded"),
                ),
                open=True,
            ),
            "the object cache",
        ),
        Key(
            "package",
            Section(
                (
                    Key("storage", Text("a URL"), "where packages are stored"),
                    Key("excludes", ListOf(Text("a pattern")), "files that stay out of them"),
                ),
                open=True,
            ),
            "packages of runners",
        ),
        Key(
            "runner",
            Section((Key("template", Text("a name"), "the template application"),), open=True),
            "runners",
        ),
        Key("retry", RETRY, "how calls are repeated"),
        Key("reactor", REACTOR, "the reactor of `flamepy run`"),
        Key(
            "informers",
            ListOf(
                OneOf((Text("a name"), INFORMER), INFORMER.about),
                about="a list of names, or of {name: ..., options: ...}",
            ),
            "plugins to run",
        ),
    ),
    "a mapping such as {name: production, cluster: {endpoint: ...}}",
    open=True,
)
ROOT = Section(
    (
        Key("current-context", Text("the name of a context"), "the context that is used"),
        Key("contexts", ListOf(CONTEXT), "the contexts", needed=True),
    ),
    open=True,
)
