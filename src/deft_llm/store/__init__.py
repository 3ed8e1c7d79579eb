"""The motion store: shards of safetensors plus an index, read by clip id or as a stream."""

from deft_llm.store.motion import Motion, RegionTable
from deft_llm.store.reader import Store
from deft_llm.store.writer import StoreWriter

__all__ = ["Motion", "RegionTable", "Store", "StoreWriter"]
