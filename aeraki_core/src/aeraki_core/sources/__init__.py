"""Where a mesh's objects come from: files, the API server, istiod.

Each source is a thread that hands events (events.py) through a chain of functions (chain.py,
merge.py) to the controller's loop. No function calls back up.
"""
