"""Pretrains an architecture on demonstrations, once for each seed."""

import sys

from rayrl.pipeline.entry import main

if __name__ == "__main__":
    sys.exit(main("pretrain"))
