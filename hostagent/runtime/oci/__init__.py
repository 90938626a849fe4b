"""The runtime core as an OCI command line (runtime-spec 1.1, runtime.md): one verb, one function."""
