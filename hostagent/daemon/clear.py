"""`python -m hostagent.daemon.clear`: takes the engine's network out of the kernel, when it is removed from a host.

The daemon leaves bridges and tables where they are when it ends, for the containers that go on. Run it when no
container runs any more and no daemon will. Its options are the daemon's own.
"""

from __future__ import annotations

import sys

from hostagent.daemon import options as configuration
from hostagent.errors import EngineError
from hostagent.network.bridge import BridgeNetwork
from hostagent.network.bridges import Bridges
from hostagent.network.tables import Tables
from hostagent.statedb.database import Database


def main() -> None:
    """Exit 1 with one sentence when something cannot be removed."""
    try:
        options = configuration.parse(sys.argv[1:])
        if not (options.root / "state.db").exists():
            return  # no daemon ever ran
        database = Database(options.root / "state.db")
        tables = Tables()
        bridge = BridgeNetwork(
            database, options.bridge, options.bridge, options.subnet or None, tables=tables
        )
        bridges = Bridges(database, bridge, tables, options.bridge)
        try:
            bridges.teardown()
            bridge.teardown()
        finally:
            bridges.close()
            bridge.close()
            tables.close()
            database.close()
    except (EngineError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
