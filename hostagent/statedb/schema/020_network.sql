-- What a bridge was given: its subnet, one lease per container (and one for the gateway, container_id ''), its published ports.
-- Addresses are IPv4 as integers. host_ip '' means every address of the host.

CREATE TABLE network_bridges (
    name TEXT PRIMARY KEY,
    subnet TEXT NOT NULL
) STRICT;

CREATE TABLE network_leases (
    bridge TEXT NOT NULL REFERENCES network_bridges (name) ON DELETE CASCADE,
    address INTEGER NOT NULL,
    container_id TEXT NOT NULL,
    mac TEXT NOT NULL,
    PRIMARY KEY (bridge, address),
    UNIQUE (bridge, container_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE network_ports (
    bridge TEXT NOT NULL REFERENCES network_bridges (name) ON DELETE CASCADE,
    proto TEXT NOT NULL,
    host_ip TEXT NOT NULL,
    host_port INTEGER NOT NULL,
    container_id TEXT NOT NULL,
    container_ip TEXT NOT NULL,
    container_port INTEGER NOT NULL,
    PRIMARY KEY (bridge, proto, host_port, host_ip)
) STRICT, WITHOUT ROWID;

CREATE INDEX network_ports_by_container ON network_ports (bridge, container_id);
