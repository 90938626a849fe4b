"""Networks as the API has them: who is on which, by what name, and which ports are published."""
