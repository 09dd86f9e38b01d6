from flamepy.core import TaskInformer

class Slow(TaskInformer):
    def __init__(self, *, seconds: float = ...) -> None: ...
