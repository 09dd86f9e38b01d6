"""A service whose tasks name an object: it reads it, and answers with the name of another."""

import numpy as np

from flamepy.core import FlameService, ObjectRef, TaskContext, get_object, put_object, run


class Columns(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        matrix = get_object(ObjectRef.decode(context.input or b""))
        means = np.asarray(matrix).mean(axis=0)
        return put_object(f"columns/{context.session_id}", means).encode()


if __name__ == "__main__":
    run(Columns())
