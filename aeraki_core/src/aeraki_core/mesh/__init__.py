"""The mesh as the sources show it: the store, its indexes, recorded reads, and routes."""
