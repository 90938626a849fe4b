"""What the laptop keeps about its machines: records, journals, keys, the active one, and caches."""
