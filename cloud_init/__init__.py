"""What makes a bare image into a host: a typed spec, rendered to cloud-init user-data from templates."""
