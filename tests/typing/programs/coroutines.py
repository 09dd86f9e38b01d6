"""The same calls as coroutines."""

import asyncio

from typing_extensions import assert_type

from flamepy import aio
from flamepy.core import FlameError, Task
from flamepy.informers import Reactor, SessionEvent, TaskEvent


async def main() -> None:
    async with await aio.connect("http://127.0.0.1:8080") as connection:
        assert_type(connection, aio.Connection)
        async with await connection.create_session("echo") as session:
            assert_type(session, aio.Session)
            assert_type(await session.invoke(b"x"), bytes | None)
            handle = await session.run(b"x")
            assert_type(await handle, bytes | None)
            assert_type(await handle.result(timeout=1), bytes | None)
            async for output in session.map([b"x"]):
                assert_type(output, bytes | None)
            async for either in session.map([b"x"], return_exceptions=True):
                assert_type(either, bytes | FlameError | None)
            async for update in session.watch_task("1"):
                assert_type(update, Task)
            both = await asyncio.gather(session.invoke(b"a"), session.invoke(b"b"))
            print(both)
    async with Reactor() as reactor:
        with reactor.stream(sessions=True) as events:
            async for event in events:
                assert_type(event, TaskEvent | SessionEvent)
                if isinstance(event, TaskEvent):
                    print(event.task.state)
    ref = await aio.put_object("a/b", [1])
    print(await aio.get_object(ref))


asyncio.run(main())
