"""EC2 for tests: a moto server, stricter than moto, whose instances can be real hosts in namespaces (`cloud.Cloud`)."""
