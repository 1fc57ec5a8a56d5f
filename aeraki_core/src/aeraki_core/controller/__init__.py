"""The controller takes events from sources, runs the pipeline and lets a sink write."""
