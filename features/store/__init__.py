"""The store: tensors in HDF5, what happened to each utterance in Parquet, and a commit record that ties the two."""

from features.store.feature import Feature, Rows
from features.store.store import Store
from features.store.write import open_writer, write_feature

__all__ = ["Feature", "Rows", "Store", "open_writer", "write_feature"]
