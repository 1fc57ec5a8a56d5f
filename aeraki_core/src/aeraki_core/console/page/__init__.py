"""One page about a mesh: its services, routes, findings and latest writes, as one HTML document."""
