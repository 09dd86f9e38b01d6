"""What a fresh engine has: its three applications, and the defaults of specs. Pure data.

Field by field as recorded of a running engine (docs/protocol.md#applications).
"""

from __future__ import annotations

import json

from flamepy.types import ApplicationAttributes, ApplicationSchema, ResourceRequirement, Shim

DEFAULT_MAX_INSTANCES = 1_000_000
DEFAULT_DELAY_RELEASE = 60
DEFAULT_RESOURCES = ResourceRequirement(cpu=1, memory=1 << 30, gpu=0)
RETRY_LIMIT = 5

_DRAFT = "http://json-schema.org/draft-07/schema#"


def _integers(description: str) -> dict[str, object]:
    return {"type": "array", "items": {"type": "integer", "description": description}}


_SCRIPT = json.dumps(
    {
        "$schema": _DRAFT,
        "type": "object",
        "properties": {
            "language": {
                "type": "string",
                "description": "The language of the script: python or shell.",
            },
            "code": {"type": "string", "description": "The source code of the script to run."},
            "input": _integers("The bytes given to the script on its standard input, each 0..255."),
        },
        "required": ["language", "code"],
    },
    separators=(",", ":"),
)
_SCRIPT_OUTPUT = json.dumps(
    {
        "$schema": _DRAFT,
        "type": "string",
        "description": "The output of the script in UTF-8.",
    },
    separators=(",", ":"),
)


def default_applications() -> dict[str, ApplicationAttributes]:
    """Return the applications that every engine registers at its start."""
    return {
        "flmexec": ApplicationAttributes(
            shim=Shim.HOST,
            description="The Flame Executor application, which is used to run scripts.",
            command="${FLAME_HOME}/bin/flmexec-service",
            schema=ApplicationSchema(input=_SCRIPT, output=_SCRIPT_OUTPUT),
        ),
        "flmping": ApplicationAttributes(
            shim=Shim.HOST,
            command="${FLAME_HOME}/bin/flmping-service",
            url="file://${FLAME_HOME}/bin/flmping-service",
            schema=ApplicationSchema(),
        ),
        "flmrun": ApplicationAttributes(
            shim=Shim.HOST,
            description=(
                "The Flame Runner application for executing customized Python applications."
            ),
            command="${FLAME_HOME}/bin/uv",
            arguments=[
                "run",
                "--python",
                "python${FLAME_PYTHON_VERSION}",
                "python",
                "-m",
                "flamepy.runner.runpy",
            ],
            schema=ApplicationSchema(),
            installer="python",
        ),
    }
