"""What a container sees as files, and what is copied out of it: mounts, volumes, `cp`, `commit`."""
