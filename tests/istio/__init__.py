"""The source of istiod and the whole way to a sidecar, with a real istiod and Envoy."""
