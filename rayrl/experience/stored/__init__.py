"""Experience on disk as its owner looks at it: what is in it, is it whole, and as a table for other tools."""
