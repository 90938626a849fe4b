-- Images. A row here means: the files it names were synced to disk before. Files without a row are left-overs.

CREATE TABLE image (
    id        TEXT PRIMARY KEY,             -- sha256:… of the configuration, which is the blob of that digest
    stored_ns INTEGER NOT NULL,             -- when this host got it, nanoseconds since 1970
    size      INTEGER NOT NULL,             -- bytes of all files of all layers
    manifest  TEXT                          -- digest of the manifest as received, a blob; NULL = never had one
) STRICT;

CREATE TABLE image_name (
    name      TEXT PRIMARY KEY,             -- canonical: docker.io/library/x:tag or docker.io/library/x@sha256:…
    image_id  TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
    used_ns   INTEGER NOT NULL              -- when the name was last given to this image
) STRICT;
CREATE INDEX image_name_image ON image_name (image_id);

CREATE TABLE layer (
    chain_id  TEXT PRIMARY KEY,             -- layers/<hex>/fs
    diff_id   TEXT NOT NULL,
    size      INTEGER NOT NULL              -- bytes of its regular files and symlinks
) STRICT;
CREATE INDEX layer_diff ON layer (diff_id);

CREATE TABLE image_layer (
    image_id  TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,             -- 0 = bottom
    chain_id  TEXT NOT NULL REFERENCES layer (chain_id),
    PRIMARY KEY (image_id, position)
) STRICT;
CREATE INDEX image_layer_chain ON image_layer (chain_id);

CREATE TABLE layer_blob (
    diff_id    TEXT NOT NULL,               -- unpacked, the blob is this
    digest     TEXT NOT NULL,               -- blobs/sha256/<hex>
    media_type TEXT NOT NULL,
    size       INTEGER NOT NULL,            -- bytes as stored
    PRIMARY KEY (diff_id, digest)
) STRICT;

CREATE TABLE blob_source (
    digest     TEXT NOT NULL,
    repository TEXT NOT NULL,               -- a repository known to hold the blob: a push can mount it from there
    PRIMARY KEY (digest, repository)
) STRICT;
