"""The controller: what takes events from sources, runs the pipeline and has a sink write what differs."""
