"""gRPC: channels, single calls, streams, TLS, the loop's thread, statuses."""
