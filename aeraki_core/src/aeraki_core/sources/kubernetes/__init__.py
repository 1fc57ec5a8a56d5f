"""Source: the API server."""
