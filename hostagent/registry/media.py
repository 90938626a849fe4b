"""Media types of manifests, configurations and layers. Sources: OCI image-spec media-types.md; distribution
docs/spec/manifest-v2-2.md.
"""

from __future__ import annotations

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_SCHEMA1 = (
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v1+json",
)

LAYERS = frozenset(
    (
        *(OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, LAYER_GZIP),
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
        "application/vnd.docker.container.image.rootfs.diff+x-gtar",
    )
)
# Old registries call a configuration by a general name.
CONFIGS = frozenset((OCI_CONFIG, DOCKER_CONFIG, "application/octet-stream", "text/html", ""))

INDEXES = frozenset((OCI_INDEX, DOCKER_LIST))
MANIFESTS = frozenset((OCI_MANIFEST, DOCKER_MANIFEST))
ACCEPT = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST))


def layer_type(compression: str | None) -> str:
    """The media type of a layer by its compression. Docker has no type of its own for zstd."""
    if compression == "gzip":
        return LAYER_GZIP
    return OCI_LAYER_ZSTD if compression == "zstd" else OCI_LAYER


def is_gzip(media_type: str) -> bool:
    return media_type in (LAYER_GZIP, OCI_LAYER_GZIP)
