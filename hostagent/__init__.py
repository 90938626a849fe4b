"""hostagent: a container engine that speaks the Docker Engine API, in readable Python."""

VERSION = "0.1.0"
