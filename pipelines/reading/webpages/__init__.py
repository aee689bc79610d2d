"""Tables of HTML pages."""
