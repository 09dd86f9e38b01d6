"""The descriptor pool of our own messages, apart from protobuf's default pool.

Does one thing: two packages in one process may both define ``flame.v1`` (or a file called
``types.proto``), and the default pool refuses the second. Every ``*_pb2`` beside this module
registers here.
"""

from google.protobuf.descriptor_pool import DescriptorPool

POOL = DescriptorPool()
