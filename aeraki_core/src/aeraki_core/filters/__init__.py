"""EnvoyFilters as values: patches, names, and their form as Kubernetes objects."""
