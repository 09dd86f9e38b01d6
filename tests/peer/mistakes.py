"""Run by the official SDK's Python: its documented mistakes, with the errors they raise as JSON."""

import json
import sys
import time

import flamepy
from flamepy.core import (
    ApplicationAttributes,
    SessionAttributes,
    close_session,
    create_session,
    get_application,
    get_session,
    list_applications,
    list_executors,
    list_nodes,
    list_sessions,
    open_session,
    register_application,
    unregister_application,
)

service, python = sys.argv[1:]
spec = ApplicationAttributes(command=python, arguments=[service], delay_release=1)
seen = {}


def refused(name, call, *arguments, **keywords):
    try:
        got = call(*arguments, **keywords)
    except Exception as error:
        code = error.code.name if isinstance(error, flamepy.FlameError) else None
        seen[name] = [type(error).__name__, code, getattr(error, "message", str(error))]
    else:
        seen[name] = ["no error", None, repr(got)]


register_application("peer", spec)
refused("register twice", register_application, "peer", spec)
refused("register a bad name", register_application, "a/b", spec)
refused("create without application", create_session, "nothing")
refused("get a session that is not there", get_session, "nothing")
refused("open a session that is not there", open_session, "nothing")
refused("close a session that is not there", close_session, "nothing")
refused("unregister what is not there", unregister_application, "nothing")
seen["application that is not there"] = get_application("nothing")
seen["application"] = get_application("peer").name
seen["applications"] = "peer" in [one.name for one in list_applications()]

session = create_session("peer", session_id="p1")
refused("create twice", create_session, "peer", session_id="p1")
seen["opened"] = open_session("p1").id
other = SessionAttributes(id="p1", application="peer", min_instances=1)
refused("open with another specification", open_session, "p1", other)
refused("unregister with an open session", unregister_application, "peer")
refused("a task that fails", session.invoke, b"fail no way")
refused("get a task that is not there", session.get_task, "99")
refused("get a task without a number", session.get_task, "one")

running = session.create_task(b"sleep 2000")
while session.get_task(running.id).state.name != "RUNNING":
    time.sleep(0.02)
refused("close while a task runs", close_session, "p1")
seen["executors"] = len(list_executors())
seen["nodes"] = len(list_nodes())
seen["ended"] = [update.state.name for update in session.watch_task(running.id)][-1]
session.close()
seen["closed"] = get_session("p1").state.name
refused("a task for a closed session", session.create_task, b"x")
refused("open a closed session", open_session, "p1")
seen["sessions"] = [one.id for one in list_sessions()]
unregister_application("peer")
refused("get a dropped session", get_session, "p1")
print(json.dumps(seen))
