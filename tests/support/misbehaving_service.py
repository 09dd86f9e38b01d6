"""A service that misbehaves in one way, named by its argument; "stream" after it takes a stream.

On bare gRPC, without the library's service base, so that it can answer what that never would.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

from flamepy.wire.services import INSTANCE, INSTANCE_SERVICE
from flamepy.wire.task_stream import LEAVING, TASK_STREAM_KEY, Frames, frame

mode = sys.argv[1]
enters = tasks = 0
stream = socket.socket(socket.AF_UNIX)
SLEEP = [sys.executable, "-c", "import threading; threading.Event().wait()"]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def enter(request, context):
    global enters
    enters += 1
    if mode == "second-enter-exit" and enters == 2:
        os._exit(6)
    if mode == "needs-data" and not request.HasField("common_data"):
        return INSTANCE["OnSessionEnter"].response(return_code=-1, message="which table?")
    if mode == "enter-hang":
        threading.Event().wait()
    if mode == "enter-slow":
        threading.Event().wait(4.0)
    if mode == "enter-abort":
        context.abort(grpc.StatusCode.INTERNAL, "no seat")
    if mode == "enter-exit":
        say("dying in enter")
        os._exit(4)
    if "stream" in sys.argv:
        stream.connect(dict(context.invocation_metadata())[TASK_STREAM_KEY])
        threading.Thread(target=invoke_each, daemon=True).start()
    return INSTANCE["OnSessionEnter"].response(return_code=0)


def invoke(request, context):
    global tasks
    tasks += 1
    if mode == "early-task-exit" and not enters:
        os._exit(6)
    if mode == "task-hang":
        threading.Event().wait()
    answer = INSTANCE["OnTaskInvoke"].response
    if mode == "exit-at-3" and tasks == 3:
        say("enough")
        os._exit(5)
    if mode == "deaf" and tasks == 2:
        server.stop(0)
        with contextlib.suppress(OSError):  # it may not be connected
            stream.shutdown(socket.SHUT_RDWR)
        threading.Event().wait()  # the call is cut; nothing answers it
    if mode == "hang" and request.input_sdk == b"hang":
        threading.Event().wait()
    if mode == "flood":
        for _ in range(2000):
            os.write(1, b"x" * 100_000)
            os.write(2, b"y" * 10_000)
    if mode == "large":
        return answer(return_code=0, output=b"z" * (5 << 20))
    if mode == "code-without-text":
        return answer(return_code=7)
    if mode == "code-with-output":
        return answer(return_code=7, output=b"half", message="half done")
    if mode == "abort-long":
        context.abort(grpc.StatusCode.INTERNAL, "no memory " + "\N{SNOWMAN}" * 100_000)
    if mode == "metadata":
        context.send_initial_metadata((("x-trace", "t" * 50_000), ("x-bin", b"\x00\xff")))
        context.set_trailing_metadata((("x-cost", "c" * 50_000),))
    if mode == "abort":
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no memory")
    if mode in ("child", "escaped-child"):
        child = subprocess.Popen(SLEEP, start_new_session=mode == "escaped-child")
        return answer(return_code=0, output=str(child.pid).encode())
    return answer(return_code=0, output=str(os.getpid()).encode())


def invoke_alone(request, context):
    if mode == "one-stream":
        context.abort(grpc.StatusCode.INTERNAL, "not by the stream")
    return invoke(request, context)


def invoke_each():
    frames = Frames()
    while data := stream.recv(1 << 16):
        frames.feed(data)
        if (task := frames.take()) is not None and not invoke_by_stream(task):
            break
    stream.close()


def invoke_by_stream(task):
    """Answer a task; False: it was the last."""
    if mode == "no-answer":
        return False
    if mode != "begins-none":
        answer = invoke(INSTANCE["OnTaskInvoke"].request.FromString(task), None)
        garbage = b"\xff\xff\xff"
        stream.sendall(frame(garbage if mode == "garbage" else answer.SerializeToString()))
    if mode in ("one-each", "begins-none"):
        stream.sendall(frame(LEAVING))
    return mode not in ("one-each", "begins-none")


def leave(request, context):
    if mode == "leave-error":
        return INSTANCE["OnSessionLeave"].response(return_code=-1, message="cannot leave")
    if mode == "leave-abort":
        context.abort(grpc.StatusCode.INTERNAL, "cannot leave")
    if mode == "leave-hang":
        threading.Event().wait()
    if mode == "leave-exit":
        os._exit(0)
    if mode == "ends-after-leave":
        threading.Timer(0.05, os._exit, (0,)).start()
    return INSTANCE["OnSessionLeave"].response(return_code=0)


def answer_unread(requests, context):
    """Answer before anything of the request is read."""
    return INSTANCE["OnTaskInvoke"].response(return_code=0, output=b"%d" % os.getpid())


def garbage(raw, context):
    return b"\xff\xff\xff"


LIMIT = 1 << 20 if mode == "small-inputs" else 4 << 20
server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", LIMIT)])


def serve() -> None:
    calls = {"OnSessionEnter": enter, "OnTaskInvoke": invoke_alone, "OnSessionLeave": leave}
    handlers = {}
    for name, call in calls.items():
        method = INSTANCE[name]
        handlers[name] = grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )
    if mode == "no-leave":
        del handlers["OnSessionLeave"]
    if mode == "answers-unread":
        handlers["OnTaskInvoke"] = grpc.stream_unary_rpc_method_handler(
            answer_unread, response_serializer=INSTANCE["OnTaskInvoke"].response.SerializeToString
        )
    if mode == "garbage":
        handlers["OnTaskInvoke"] = grpc.unary_unary_rpc_method_handler(garbage)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(INSTANCE_SERVICE, handlers),)
    )
    server.add_insecure_port(f"unix:{os.environ['FLAME_INSTANCE_ENDPOINT']}")
    server.start()
    server.wait_for_termination()
    if mode == "deaf":
        threading.Event().wait()


if mode == "exit-at-once":
    say("no licence")
    sys.exit(3)
if mode == "signal-at-once":
    os.kill(os.getpid(), signal.SIGSEGV)
if mode == "never-binds":
    say("still thinking")
    threading.Event().wait()
if mode == "keeps-old-socket" and os.path.exists(os.environ["FLAME_INSTANCE_ENDPOINT"]):
    say("address in use")
    sys.exit(7)
if mode in ("listens-late", "opens-anew"):
    first = socket.socket(socket.AF_UNIX)
    first.bind(os.environ["FLAME_INSTANCE_ENDPOINT"])
    if mode == "opens-anew":  # somebody who connects there is dropped
        first.listen()
    threading.Event().wait(1.0)
    os.unlink(os.environ["FLAME_INSTANCE_ENDPOINT"])
    first.close()
if mode == "binds-late":
    threading.Event().wait(1.0)
if mode == "socket-is-a-file":
    open(os.environ["FLAME_INSTANCE_ENDPOINT"], "w").close()
    threading.Event().wait()
if mode in ("ignores-sigterm", "child", "hang", "leave-hang"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
serve()
