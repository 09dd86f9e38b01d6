"""Names of spans, attributes and metrics, as README.md lists them: they are stable.

Those of the semantic conventions are written out: the package of their constants calls them
incubating, and moves them. A test compares them with that package.
"""

from __future__ import annotations

SCOPE = "flamepy_opentelemetry"
VERSION = "0.1.0"
SCHEMA = "https://opentelemetry.io/schemas/1.40.0"

# Spans; the first four have computed ids, "callback" and "process" are there for each execution.
TASK, SUBMIT, QUEUED, RUNNING = "task", "submit", "queued", "running"
CALLBACK, PROCESS = "callback", "process"

SESSION_ID, TASK_ID, APPLICATION = "flame.session.id", "flame.task.id", "flame.application"
TASK_STATE = "flame.task.state"
INFERRED, START_SOURCE, END_SOURCE = (
    "flame.span.inferred",
    "flame.span.start.source",
    "flame.span.end.source",
)
REQUEUED = "flame.task.requeued"
IDS_COMPUTED = "flame.trace.computed"
INFORMER, CALLBACK_NAME, EVENT_KEY = "flame.informer", "flame.callback", "flame.event.key"
CONNECTION_STATE, SESSION_STATE, ENDPOINT = (
    "flame.connection.state",
    "flame.session.state",
    "flame.endpoint",
)
ERROR_TYPE = "error.type"

SYSTEM = "flame"
MESSAGING_SYSTEM, MESSAGING_DESTINATION = "messaging.system", "messaging.destination.name"
MESSAGING_OPERATION, MESSAGING_TYPE = "messaging.operation.name", "messaging.operation.type"
MESSAGING_ID, MESSAGING_BODY_SIZE = "messaging.message.id", "messaging.message.body.size"
SENT_MESSAGES = "messaging.client.sent.messages"
PROCESS_DURATION = "messaging.process.duration"

RPC_CALL_DURATION = "rpc.client.call.duration"
RPC_SYSTEM, RPC_METHOD = "rpc.system.name", "rpc.method"
RPC_STATUS = "rpc.response.status_code"
SERVER_ADDRESS, SERVER_PORT = "server.address", "server.port"
FRONTEND = "flame.v1.Frontend"
