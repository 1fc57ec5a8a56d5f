"""The API server of a cluster: plain objects in and out, lists that stay current. Shared by sources, sinks and controller."""
