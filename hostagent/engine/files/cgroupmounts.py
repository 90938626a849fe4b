"""What a container sees at /sys/fs/cgroup, decided from what the host has (v2, v1, or both)."""

from __future__ import annotations

from hostagent.engine.oci import Json, mount
from hostagent.kernel.cgroup_mounts import hierarchies

OPTIONS = ("ro", "nosuid", "nodev", "noexec")


def cgroup_mounts() -> tuple[Json, ...]:
    """Entries for `mounts`, read-only; each shows the container's own cgroup as its root."""
    trees = hierarchies()
    version1 = [tree for tree in trees if not tree.unified]
    if not version1:
        return (mount("/sys/fs/cgroup", "cgroup2", "cgroup", *OPTIONS),) if trees else ()
    top = mount("/sys/fs/cgroup", "tmpfs", "tmpfs", "nosuid", "nodev", "noexec", "mode=755")
    return (
        top,
        *(
            mount(f"/sys/fs/cgroup/{name.removeprefix('name=')}", "cgroup", "cgroup", *OPTIONS, name)
            for tree in version1
            if (name := ",".join(sorted(tree.controllers)))
        ),
    )
