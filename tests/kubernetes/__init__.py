"""The source and the sink of a cluster, against a real API server and istiod."""
