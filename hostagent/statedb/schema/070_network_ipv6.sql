-- IPv6 addresses on a bridge: 16 bytes each, as they sort. The gateway's lease has container_id '', those of auxiliary
-- addresses begin with 'reserved:', as in network_leases; MACs are there.
CREATE TABLE network_leases6 (
    bridge TEXT NOT NULL REFERENCES network_bridges (name) ON DELETE CASCADE,
    address BLOB NOT NULL,
    container_id TEXT NOT NULL,
    PRIMARY KEY (bridge, address),
    UNIQUE (bridge, container_id)
) STRICT, WITHOUT ROWID;
