"""Run by the official SDK's Python: the guide's calls, with what came back as JSON."""

import json
import sys

import flamepy
from flamepy.core import ApplicationAttributes, create_session, list_sessions, register_application

service, python = sys.argv[1:]
register_application(
    "peer", ApplicationAttributes(command=python, arguments=[service], delay_release=1)
)
session = create_session("peer", common_data=b"cd")
seen = {"application": session.application, "state": session.state.name}
seen["invoke"] = session.invoke(b"echo hi").decode()
seen["common"] = session.invoke(b"common").decode()
seen["runs"] = [future.result().decode() for future in [session.run(b"echo x") for _ in range(5)]]
task = session.create_task(b"sleep 300")
seen["watched"] = [update.state.name for update in session.watch_task(task.id)][-1]
seen["output"] = session.get_task(task.id).output.decode()
seen["listed"] = len(list(session.list_tasks()))
try:
    session.invoke(b"fail no way")
except flamepy.FlameError:
    seen["failed"] = [event.message for event in session.get_task("9").events][-1]
seen["sessions"] = [one.id == session.id for one in list_sessions()]
session.close()
print(json.dumps(seen))
