"""What a container may do and what it shares: namespaces, capabilities, seccomp, AppArmor, devices, users."""
