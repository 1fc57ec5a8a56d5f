"""Where a mesh's objects come from. Each source puts events (base.py) on one queue; the controller's loop takes them off."""
