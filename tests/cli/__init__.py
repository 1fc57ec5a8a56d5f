"""The command line from end to end, with the plugins of this repository."""
