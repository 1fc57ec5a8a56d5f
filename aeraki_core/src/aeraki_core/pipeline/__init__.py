"""From a changed object to changed filters: detect, generate, arrange, reconcile."""
