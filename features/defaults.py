"""Where the manifest and the store are, if nobody says: the same for the commands and for `features.load`."""

from __future__ import annotations

DEFAULT_MANIFEST = "data/manifest.parquet"
MANIFEST_VARIABLE = "ERC_MANIFEST"
DEFAULT_STORE = "store"
STORE_VARIABLE = "ERC_STORE"
