"""Where a container's output goes, and how it is read back."""
