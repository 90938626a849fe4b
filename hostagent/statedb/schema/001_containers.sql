-- What was asked for (config) and what is known to have happened (state), one row a container. Both are JSON:
-- they are read whole at start-up and written whole, and never searched by the database.
CREATE TABLE containers (
    id         TEXT PRIMARY KEY,           -- 64 hexadecimal digits
    name       TEXT NOT NULL UNIQUE,       -- without the API's leading slash
    created_ns INTEGER NOT NULL,
    image_id   TEXT NOT NULL,              -- sha256:...
    config     BLOB NOT NULL,              -- the create body, completed from the image (hostagent.wire.ContainerCreate)
    state      BLOB NOT NULL               -- hostagent.engine.state.State
) WITHOUT ROWID;
