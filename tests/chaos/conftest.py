"""The fixtures of ``tests/pipeline/run_fixtures.py``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))

from run_fixtures import file, folder, rayrl, watch

__all__ = ["file", "folder", "rayrl", "watch"]
