"""What containers do while they run: statistics, processes, health, sizes."""
