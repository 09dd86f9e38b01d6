"""Generated protobuf messages of the Flame wire; written by scripts/generate_protos.py.

Only ``wire``, ``rpc``, ``local``, ``core.service`` and ``testing`` may import it.
"""
