"""Dockerfile builds: text -> statements -> typed instructions -> graph of content-addressed steps -> layers."""
