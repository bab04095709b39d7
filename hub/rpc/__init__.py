"""gRPC: what services, operators and edges call."""
