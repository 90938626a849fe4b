-- Volumes: one row and one directory, volumes/<name>/_data, each. labels and options are JSON objects; NULL = none given,
-- which the API shows as null and not as {}.
CREATE TABLE volume (
    name       TEXT PRIMARY KEY,
    created_ns INTEGER NOT NULL,
    labels     BLOB,
    options    BLOB,
    making     TEXT                        -- the container whose creation makes it; NULL once that is complete
) STRICT, WITHOUT ROWID;
CREATE INDEX volume_making ON volume (making) WHERE making NOT NULL;

-- What a container mounts from the host and from volumes, decided at its creation (hostagent.engine.mounts.Mounts);
-- NULL in rows from before there were volumes.
ALTER TABLE containers ADD COLUMN mounts BLOB;
