"""Resource limits: what the host supports, what was asked, what is changed while it runs."""
