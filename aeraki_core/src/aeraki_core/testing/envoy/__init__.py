"""A real Envoy process, its configuration and its log."""
