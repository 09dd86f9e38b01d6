"""A service on the official SDK; run by its Python under our cluster."""

import flamepy


class Service(flamepy.FlameService):
    def on_session_enter(self, context):
        self.common = context.common_data()

    def on_task_invoke(self, context):
        if context.input == b"fail":
            raise ValueError("no way")
        return (self.common or b"") + (context.input or b"")

    def on_session_leave(self):
        pass


flamepy.run(Service())
