"""Run by the official SDK's Python: prints the public names of each of its modules as JSON."""

import importlib
import inspect
import json
import pkgutil

import flamepy

modules = ["flamepy"]
modules += [
    one.name
    for one in pkgutil.walk_packages(flamepy.__path__, "flamepy.")
    if not one.name.endswith(("__main__", "_pb2", "_pb2_grpc"))
]


def is_own(value):
    """Leave out what a module only imports from elsewhere: typing, numpy, the standard library."""
    if inspect.ismodule(value):
        return value.__name__.startswith("flamepy")
    return getattr(value, "__module__", "flamepy").startswith("flamepy")


found = {}
for name in modules:
    module = importlib.import_module(name)
    public = (one for one in dir(module) if not one.startswith("_"))
    found[name] = [one for one in public if is_own(getattr(module, one))]
print(json.dumps(found))
