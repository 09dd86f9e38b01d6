"""Register the byte service, run tasks on it, and see one fail. Needs a cluster: see README.md."""

import sys
from pathlib import Path

from flamepy.core import (
    ApplicationAttributes,
    FlameError,
    create_session,
    get_application,
    register_application,
)

SERVICE = Path(__file__).resolve().with_name("service.py")

if get_application("byte-service") is None:
    register_application(
        "byte-service",
        ApplicationAttributes(command=sys.executable, arguments=[str(SERVICE)]),
    )

session = create_session("byte-service", common_data=b"you said ")

# One task, and wait for it.
print(session.invoke(b"hello"))

# Several at once: run() returns when the engine has the task, result() when it is done.
futures = [session.run(text) for text in (b"one", b"two", b"three")]
for future in futures:
    print(future.task_id, future.result())

# A failed task carries the service's own words.
try:
    session.invoke(b"")
except FlameError as error:
    print("failed:", error.message)

session.close()
print("the session is", session.state.name)
