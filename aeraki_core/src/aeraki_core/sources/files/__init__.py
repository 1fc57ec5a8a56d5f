"""Source: manifests in files and folders."""
