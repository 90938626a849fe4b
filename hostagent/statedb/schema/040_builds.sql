-- What steps of builds came to. A row means that the layer's files were synced to disk before.

CREATE TABLE build_step (
    key         TEXT PRIMARY KEY,         -- sha256:… of the step's definition and of the content of its inputs
    chain_id    TEXT,                     -- its layer on top of its parent: layers/<hex>/fs; NULL = it changed nothing
    diff_id     TEXT,
    size        INTEGER NOT NULL,         -- bytes of the layer's regular files
    description TEXT NOT NULL,
    created_ns  INTEGER NOT NULL,         -- nanoseconds since 1970
    used_ns     INTEGER NOT NULL
) STRICT;
CREATE INDEX build_step_chain ON build_step (chain_id);
