"""The Dockerfile language: text -> statements -> typed instructions. Pure; what they do is elsewhere."""
