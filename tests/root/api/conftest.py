"""The server with the fake engine behind it, as in the unit tests, for docker CLIs that root has unpacked."""

from tests.unit.api.conftest import server

__all__ = ["server"]
