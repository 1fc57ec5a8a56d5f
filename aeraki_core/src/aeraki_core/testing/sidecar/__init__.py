"""A model of the sidecar configuration that istiod makes, and of how it applies EnvoyFilters."""
