"""The messages of the Flame wire under the official SDK's paths: ``flamepy.proto.types_pb2``.

The very classes of ``flamepy._proto``. There are no generated stubs: this library calls without
them.
"""

import sys

from flamepy._proto import frontend_pb2, shim_pb2, types_pb2

__all__ = ["frontend_pb2", "shim_pb2", "types_pb2"]

for _name in __all__:
    sys.modules[f"{__name__}.{_name}"] = globals()[_name]
