# ruff: noqa: E501  # a table of sentences
"""What to do about each error: its causes, the command that finds which, the way out.

By ``short_code``, which is never changed and never used again. ``flamepy explain-error`` prints it,
and docs/errors.md has it as sections (``scripts/generate_reference.py``).
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from flamepy import errors
from flamepy.errors import FlameError


@dataclass(frozen=True, slots=True)
class Help:
    """What is known about an error.

    Attributes:
        why: what causes it.
        find: commands, or attributes of the error, that show which cause it is.
        way_out: what to do.
    """

    why: str
    find: tuple[str, ...]
    way_out: str


HELP: dict[str, Help] = {
    "FL000": Help(
        "The root of all errors; the official SDK raises it, and so do its pickles.",
        ("error.code", "error.message"),
        "Read the message; catch a subclass to handle one kind.",
    ),
    "FL001": Help(
        "flame.yaml, a URL or an environment variable breaks a rule, which the message names.",
        ("flamepy doctor", "flamepy plugins check --config flame.yaml"),
        "Mend the key or variable that the message names. `flamepy config schema` prints what is allowed.",
    ),
    "FL002": Help(
        "A package of an extra is not installed.",
        ("pip list",),
        "Run the `pip install` of the message, in the environment that runs the program.",
    ),
    "FL100": Help(
        "A value breaks a rule. The call was refused before it was sent (`grpc_code` is None), or by the engine.",
        ("error.grpc_code",),
        "Change the value; the message names it and the rule.",
    ),
    "FL101": Help(
        "The session is closed. It takes no tasks and is never open again.",
        ("flamepy describe session SESSION",),
        "Create a session with another id, or find the program that closes it.",
    ),
    "FL102": Help(
        "The object is a pickle that names classes or functions. Loading it would run its author's code.",
        ("flamepy cache list",),
        "Pass `allow_pickle=True` if you trust its author; or store bytes, arrays or tables.",
    ),
    "FL200": Help(
        "The engine does not know the object.",
        ("flamepy nodes", "flamepy apps"),
        "Check the name, and that the endpoint is the engine that you mean: `flamepy doctor` names it.",
    ),
    "FL201": Help(
        "No application of that name is registered, or it is disabled.",
        ("flamepy apps",),
        "Register it with `flamepy apps register FILE`, or mend the name.",
    ),
    "FL202": Help(
        "The session was never made, or it was deleted, evicted after its end, or lost by a restart.",
        ("flamepy sessions",),
        "Engines keep few closed sessions: read results before you delete or leave a session. "
        "An engine with storage `none` forgets everything at a restart.",
    ),
    "FL203": Help(
        "The session has no task of that id.",
        ("flamepy tasks SESSION",),
        "Check the id; ids of tasks count from 1 in each session.",
    ),
    "FL204": Help(
        "The object was never stored, or it was deleted, or evicted from a full cache.",
        ("flamepy cache list",),
        "Store it again; give the cache more room or a disk if it evicts what is needed.",
    ),
    "FL205": Help(
        "`put_objects` or `get_objects` stopped before the end; the error has what was done and what failed, by place.",
        ("error.errors", "error.results", "flamepy cache list"),
        "Repeat the places that are not in `error.results`, if `error.retryable` is True; else mend what `error.errors` says.",
    ),
    "FL300": Help(
        "The name or id is taken.",
        ("flamepy apps", "flamepy sessions"),
        "Take another name, or update what is there: `flamepy apps register FILE --update`.",
    ),
    "FL310": Help(
        "The object is in a state that forbids the call.",
        ("flamepy describe session SESSION",),
        "Wait for another state, or make the other call; the message names both. "
        "`flamepy sessions close SESSION` waits until a session can be closed, and with `--cancel-pending` cancels "
        "the tasks that have not begun; `flamepy sessions delete SESSION --close` does so before it deletes.",
    ),
    "FL311": Help(
        "An engine does not close a session while one of its tasks runs.",
        ("flamepy tasks SESSION", "flamepy describe session SESSION"),
        "`session.close(wait=60)`, or `flamepy sessions close SESSION --wait 60`, tries until the tasks have ended; "
        "the command waits for those that have not begun as well, unless `--cancel-pending` cancels them.",
    ),
    "FL312": Help(
        "No service of the session could be started, several times in a row, so the engine stopped trying.",
        (
            "flamepy describe session SESSION",
            "flamepy logs SESSION",
            "flamepy check-service COMMAND",
        ),
        "Mend the application's command and register it again; then use a new session.",
    ),
    "FL400": Help(
        "The service raised, or ended, while it worked at the task. The message is the service's own.",
        ("flamepy describe task SESSION TASK", "flamepy logs SESSION"),
        "Mend the service or the input. `error.task` is the task as last read.",
    ),
    "FL401": Help(
        "The session was closed before the task ran.",
        ("flamepy describe session SESSION",),
        "Submit it again in an open session; close a session after its tasks have ended.",
    ),
    "FL402": Help(
        "The task is gone from the engine, so its outcome cannot be known.",
        ("flamepy describe session SESSION",),
        "Treat its outcome as unknown: submit it again only if running twice does no harm.",
    ),
    "FL403": Help(
        "The session is gone from the engine, and with it the outcomes of its tasks: it was deleted, or evicted, "
        "or the engine restarted without storage.",
        ("flamepy sessions", "flamepy nodes"),
        "Give the engine a storage that survives restarts, and read results before you delete the session.",
    ),
    "FL500": Help(
        "A callback of an informer raised. The exception is `error.__cause__`, the event is `error.event`.",
        ("flamepy handlers list", "flamepy deadletters list --checkpoint FILE"),
        "Mend the callback; `retry=` repeats what may pass, `flamepy deadletters retry` delivers stored events again.",
    ),
    "FL501": Help(
        "The plugin cannot be imported, made with its options, or attached.",
        ("flamepy plugins check",),
        "Install or mend the distribution that the message names.",
    ),
    "FL600": Help(
        "Nothing usable answers at the endpoint: no engine, a firewall, a proxy, another protocol.",
        ("flamepy doctor",),
        "Mend what the first failing line of `flamepy doctor` names.",
    ),
    "FL601": Help(
        "The connection was closed by this program.",
        ("error.__traceback__",),
        "Keep it open as long as it is used: end `with connect(...)` after the last call.",
    ),
    "FL602": Help(
        "No TLS connection can be made: certificates, names or dates do not fit.",
        ("flamepy doctor",),
        "The message has the way out, such as the `ca_file` that is missing.",
    ),
    "FL603": Help(
        "The call did not end within its `timeout`.",
        ("flamepy doctor", "flamepy top"),
        "Raise `timeout=`, or find what is slow. A write may have happened: `error.retryable` says whether to repeat it.",
    ),
    "FL700": Help(
        "A proxy in front of the engine refused the call.",
        ("flamepy doctor",),
        "Ask its owner for the right; engines have no users of their own.",
    ),
    "FL701": Help(
        "A proxy in front of the engine does not know the caller.",
        ("flamepy doctor",),
        "Set `FLAME_TOKEN`, or the `token` of flame.yaml; a token may have expired.",
    ),
    "FL702": Help(
        "A limit was hit, most often the size of a message.",
        ("error.message",),
        "Put large data into the object cache and send its reference.",
    ),
    "FL800": Help(
        "A write was sent and its reply was lost, and reading could not show whether it happened.",
        ("flamepy describe session SESSION", "error.__cause__"),
        "Look whether it happened before you repeat it.",
    ),
    "FL900": Help(
        "The engine failed in a way that has no class of its own.",
        ("error.message", "error.grpc_code"),
        "Read the engine's log at that time; report it with the message.",
    ),
}


def classes() -> dict[str, type[FlameError]]:
    """Return every public error class by its short code, in the order of the codes."""
    found = [
        one
        for one in (getattr(errors, name) for name in errors.__all__)
        if inspect.isclass(one) and issubclass(one, FlameError)
    ]
    return {one.short_code: one for one in sorted(found, key=lambda one: one.short_code)}


def meant(text: str) -> str | None:
    """Return the code that a code, a class or an error's own line names; None for no one."""
    words = {word.strip("(),.:").lower() for word in text.split()}
    for code, kind in classes().items():
        if words & {code.lower(), kind.__name__.lower()}:
            return code
    return None
