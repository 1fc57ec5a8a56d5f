"""The page: as HTML for a strict parser, from a running controller, and in a browser."""
