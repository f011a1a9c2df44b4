"""Options: the base model, file loading and overrides."""

from rayrl.config.base import Config
from rayrl.config.files import Document, read_document
from rayrl.config.paths import InputPath

__all__ = ["Config", "Document", "InputPath", "read_document"]
