"""The page: as HTML that a strict reader takes apart, from a running controller, and in a browser."""
