"""A typed service: requests and results are objects, the context counts requests."""

from flamepy.service import FlameInstance

instance = FlameInstance()


@instance.entrypoint
async def greet(name: str) -> str:
    count = instance.context() + 1
    instance.update_context(count)
    return f"Hello {name}, you are number {count}"


if __name__ == "__main__":
    instance.run()
