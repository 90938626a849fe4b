-- User-defined networks; the predefined ones (bridge, host, none) have no row. definition is JSON
-- (hostagent.network.network.Network). The addresses of a network are in network_leases, under its bridge's name.
CREATE TABLE networks (
    id         TEXT PRIMARY KEY,           -- 64 hexadecimal digits
    name       TEXT NOT NULL UNIQUE,
    definition BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The networks that a container is on (hostagent.engine.joined.Joined, a JSON list), once they are others than its
-- network mode says; NULL = exactly that one.
ALTER TABLE containers ADD COLUMN networks BLOB;
