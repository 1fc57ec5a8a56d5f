"""The API server of a cluster: plain objects in and out, and lists that stay current."""
