"""A typed service: counts in its context, fails where asked, awaits."""

import asyncio
import threading
from typing import Any

from flamepy.service import FlameInstance

instance = FlameInstance()
loops: list[Any] = []


@instance.entrypoint
async def answer(request: Any) -> Any:
    loops.append(asyncio.get_running_loop())
    await asyncio.sleep(0)
    if request == "fail":
        raise ValueError("as asked")
    if request == "lock":
        return threading.Lock()
    if request == "ids":
        return instance.session_id, instance.task_id
    if request == "loops":
        return len({id(one) for one in loops})
    if request == "count":
        instance.update_context((instance.context() or 0) + 1)
        return instance.context()
    return request


if __name__ == "__main__":
    instance.run()
