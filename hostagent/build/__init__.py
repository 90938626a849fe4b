"""Builds: a Dockerfile and its options -> a graph of content-addressed steps -> layers and an image."""
