"""The shapes of the Docker Engine API's answers as tables (tests/data/api), and what checks answers against them."""
