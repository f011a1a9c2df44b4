"""MuJoCo's warnings as log records: by itself it writes them to MUJOCO_LOG.TXT in the working directory."""

from __future__ import annotations

import logging
import sys

_OF_GYMNASIUM = "compiler attribute 'settotalmass' is deprecated"
"""HalfCheetah's model file has it, and nobody who uses that environment could change it."""

_log = logging.getLogger(__name__)


def log_mujoco_warnings() -> None:
    """Takes MuJoCo's warnings in this process, if it has been imported and nobody else takes them."""
    mujoco = sys.modules.get("mujoco")
    if mujoco is not None and mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_warn)


def _warn(text: str) -> None:
    if not text.startswith(_OF_GYMNASIUM):
        _log.warning("MuJoCo: %s", text.strip())
