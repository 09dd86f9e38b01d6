"""Messages of the wire to dataclasses of ``types`` and back: pure functions, one module a family.

Belongs here: anything that knows a protobuf field by name. Does not belong here: channels,
clocks, decisions. ``rpc`` (client) and ``local`` (embedded cluster) are the two readers.
"""
