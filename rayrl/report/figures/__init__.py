"""Charts, and the forms in which a report shows them: interactive, as PNG and as CSV."""
