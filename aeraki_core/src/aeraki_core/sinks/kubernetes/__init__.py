"""Sink: EnvoyFilters at the API server."""
