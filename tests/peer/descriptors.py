"""Prints every field and method of the given package's messages as JSON; for either side."""

import importlib
import json
import sys

found = {}


def add(descriptor):
    found[descriptor.full_name] = {one.name: [one.number, one.type] for one in descriptor.fields}
    for inner in descriptor.nested_types:
        add(inner)
    for inner in descriptor.enum_types:
        found[inner.full_name] = {one.name: one.number for one in inner.values}


for name in ("types", "frontend", "shim"):
    file = importlib.import_module(f"{sys.argv[1]}.{name}_pb2").DESCRIPTOR
    for message in file.message_types_by_name.values():
        add(message)
    for kind in file.enum_types_by_name.values():
        found[kind.full_name] = {one.name: one.number for one in kind.values}
    for service in file.services_by_name.values():
        found[service.full_name] = {
            one.name: [one.input_type.full_name, one.output_type.full_name, one.server_streaming]
            for one in service.methods
        }
print(json.dumps(found))
