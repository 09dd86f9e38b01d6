"""Run by the official SDK's Python: prints its public names and their parameters as JSON."""

import dataclasses
import enum
import inspect
import json

import flamepy.core as core


def parameters(function):
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        one.name for one in inspect.signature(function).parameters.values() if one.kind in kinds
    ]


found = {}
for name in dir(core):
    value = getattr(core, name)
    if name.startswith("_"):
        continue
    if inspect.isfunction(value):
        found[name] = {"parameters": parameters(value)}
    elif inspect.isclass(value) and value.__module__.startswith("flamepy"):
        found[name] = {
            "methods": {
                method: parameters(function)
                for method, function in vars(value).items()
                if inspect.isfunction(function) and not method.startswith("_")
            }
        }
        if issubclass(value, enum.Enum):
            found[name]["members"] = {one.name: one.value for one in value}
        if dataclasses.is_dataclass(value):
            found[name]["fields"] = [one.name for one in dataclasses.fields(value)]
print(json.dumps(found))
