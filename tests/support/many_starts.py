"""A program: 500 services start while a cluster serves calls; says how they ended, as JSON.

Its first argument is the kind of loop, ``asyncio`` or ``uvloop``. Each service exits with 7 before
it serves, so a session tries five.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading

from support.waiting import eventually

SESSIONS = 100
TRIES = 5
BIND_FAILED = 1001


def main(kind: str) -> None:
    if kind == "asyncio":
        sys.modules["uvloop"] = None  # type: ignore[assignment]  # as if it were not installed
    logging.getLogger().addHandler(logging.NullHandler())
    from flamepy.core import ApplicationAttributes, Session, connect
    from flamepy.local import LocalCluster

    hooks: list[int] = []
    os.register_at_fork(before=lambda: hooks.append(1))
    app = ApplicationAttributes(command="sh", arguments=["-c", "exit 7"])

    def five(session: Session) -> list[str]:
        """Return the texts of five failed starts, once there are so many."""
        texts = [one.message for one in session.refresh().events if one.code == BIND_FAILED]
        return texts if len(texts) == TRIES else []

    over = threading.Event()
    errors: list[str] = []
    with (
        LocalCluster(executors=100, apps=[("brief", app)], cache_port=None) as cluster,
        connect(cluster.endpoint) as connection,
    ):

        def call() -> None:
            while not over.wait(0.01):
                try:
                    connection.list_nodes()
                except Exception as error:
                    errors.append(repr(error))

        caller = threading.Thread(target=call)
        caller.start()
        sessions = [connection.create_session("brief") for _ in range(SESSIONS)]
        for session in sessions:
            session.run(b"x")
        texts = [text for one in sessions for text in eventually(lambda one=one: five(one))]
        over.set()
        caller.join()
    right = sum("exited with status 7 before it opened its socket" in text for text in texts)
    other = [text for text in texts if "exited with status 7" not in text]
    print(json.dumps({"right": right, "other": other, "errors": errors, "hooks": len(hooks)}))


if __name__ == "__main__":
    main(sys.argv[1])
