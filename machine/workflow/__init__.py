"""What commands do with machines: create, remove, start, stop, provision. No printing; progress goes to a callback."""
