"""A container's life as its daemon conducts it: shims, start, stop, end, restart, removal, reconciliation."""
