"""Where sources are read from, and parts and result files are kept: a local folder or S3."""

from engine.storage.location import join_url, load_for, open_location, open_storage
from engine.storage.object_file import ObjectFile, open_object
from engine.storage.protocol import Draft, ObjectInfo, Storage, Writer

__all__ = [
    "Draft",
    "ObjectFile",
    "ObjectInfo",
    "Storage",
    "Writer",
    "join_url",
    "load_for",
    "open_location",
    "open_object",
    "open_storage",
]
