"""What was traded: orders, fills, positions, signals and the runs they belong to. Only reads."""
