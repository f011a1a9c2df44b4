"""Options: the base model, file loading and overrides."""

from rayrl.config.base import Config

__all__ = ["Config"]
