"""The job of the test stage ``page``."""

import sys

import counting_stage

from rayrl.pipeline.entry import main

if __name__ == "__main__":
    counting_stage.register()
    sys.exit(main("page"))
