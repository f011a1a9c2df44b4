"""The ``rayrl`` command."""
