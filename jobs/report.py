"""Writes the report."""

import sys

from rayrl.pipeline.entry import main

if __name__ == "__main__":
    sys.exit(main("report"))
