"""Experience in columns: in memory, in Arrow and on disk."""
