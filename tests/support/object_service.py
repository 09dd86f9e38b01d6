"""A service that reads an object named by its input, and puts the sum of it into the cache."""

from flamepy.core import FlameService, ObjectRef, TaskContext, get_object, put_object, run


class Sums(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        numbers = get_object(ObjectRef.decode(context.input or b""))
        return put_object(f"app/{context.session_id}", sum(numbers)).encode()


if __name__ == "__main__":
    run(Sums())
