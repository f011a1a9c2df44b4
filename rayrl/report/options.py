"""Options of the report stage."""

from __future__ import annotations

from rayrl.config import Config


class ReportOptions(Config):
    """How the report is written; there is nothing to choose yet."""
