"""Objects of the classes that both libraries have: run by the official SDK's Python and by ours.

``write PROTOCOL`` prints a pickle of each, ``read`` loads those given and prints what they hold.
Both libraries are imported as ``flamepy.core``.
"""

import dataclasses
import datetime
import enum
import inspect
import json
import pickle
import sys

from flamepy.core import cache, service, types

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
# Inner workings there, which no user has an object of.
INNER = {
    *("CachePayload", "FetchMode", "FetchResult", "Object", "ObjectResponseKind", "Patch"),
    "FlameClusterConfig",
}


def made():
    """Return an object of each class, by the names of class and case."""
    event = types.Event(3, "failed", NOW)
    tls = types.FlameClientTls("/ca.pem")
    schema = types.ApplicationSchema("{}", None, "[]")
    about = {"command": "/bin/true", "arguments": ["-x"], "environments": {"A": "b"}}
    run = service.ApplicationContext("a", "i", "/bin/true", "/tmp", "file:///x")
    return {
        "Event": event,
        "ResourceRequirement": types.ResourceRequirement(1, 2, 3),
        "Task": types.Task("1", "s", types.TaskState.FAILED, NOW, b"in", b"out", NOW, [event]),
        "Task alone": types.Task("2", "s", types.TaskState.PENDING, NOW),
        "SessionAttributes": types.SessionAttributes(
            "echo", "s", b"d", 2, 5, 1, types.ResourceRequirement(1)
        ),
        "ApplicationSchema": schema,
        "ApplicationAttributes": types.ApplicationAttributes(
            shim=types.Shim.WASM, labels=["l"], schema=schema, max_instances=3, **about
        ),
        "Application": types.Application(
            "1", "echo", types.ApplicationState.DISABLED, NOW, types.Shim.HOST, **about
        ),
        "ApplicationContext": run,
        "SessionContext": service.SessionContext(b"c", "s", run),
        "TaskContext": service.TaskContext("1", "s", b"in"),
        "ObjectKey": cache.ObjectKey("a", "b", "c"),
        "ObjectRef": cache.ObjectRef("grpc://127.0.0.1:9090", "a/b/c", 3),
        "FlameClientTls": tls,
        "FlameClientCache": types.FlameClientCache("grpc://h:1", tls, "/s"),
        "FlamePackage": types.FlamePackage("file:///p", ["x"]),
        "FlameContextRunner": types.FlameContextRunner("t"),
        "FlameContext": types.FlameContext(),
        "FlameError": types.FlameError(types.FlameErrorCode.NOT_FOUND, "no (code: 5) (here)"),
        "TaskState": types.TaskState.RUNNING,
        "SessionState": types.SessionState.CLOSED,
        "ApplicationState": types.ApplicationState.DISABLED,
        "Shim": types.Shim.WASM,
        "FlameErrorCode": types.FlameErrorCode.INVALID_STATE,
    }


def shared():
    """Return the names of the classes whose objects can be pickled."""
    found = set()
    for module in (types, cache, service):
        for name, value in vars(module).items():
            if not inspect.isclass(value) or name.startswith("_"):
                continue
            plain = dataclasses.is_dataclass(value) or issubclass(value, enum.Enum)
            if value.__module__ == module.__name__ and (plain or issubclass(value, Exception)):
                found.add(name)
    return found - INNER | {"FlameContext"}


def described(value, names=None):
    """Return what an object holds, with numbers for states, and lists for tuples."""
    if isinstance(value, types.FlameContext):
        shown = ("endpoint", "cache", "cache_tls", "tls", "package", "runner")
        return [described(getattr(value, name), names) for name in shown]
    if isinstance(value, types.FlameError):
        return ["FlameError", int(value.code), value.message, str(value)]
    if dataclasses.is_dataclass(value):
        name = type(value).__name__
        fields = (names or {}).get(name) or [one.name for one in dataclasses.fields(value)]
        return {"": name, **{one: described(getattr(value, one), names) for one in fields}}
    if isinstance(value, enum.IntEnum):
        return int(value)
    if isinstance(value, (list, tuple)):
        return [described(one, names) for one in value]
    return value if isinstance(value, (str, int, dict, type(None))) else repr(value)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        pickles = {
            name: pickle.dumps(value, int(sys.argv[2])).hex() for name, value in made().items()
        }
        fields = {
            type(value).__name__: [one.name for one in dataclasses.fields(value)]
            for value in made().values()
            if dataclasses.is_dataclass(value)
        }
        print(json.dumps({"shared": sorted(shared()), "fields": fields, "pickles": pickles}))
    else:
        given = json.load(sys.stdin)
        print(
            json.dumps(
                {name: described(pickle.loads(bytes.fromhex(text))) for name, text in given.items()}
            )
        )
