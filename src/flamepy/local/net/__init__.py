"""Where the cluster listens: ports, TLS, gRPC servers."""
