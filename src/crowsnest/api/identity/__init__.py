"""Who asks: users with passwords, their sessions, and tokens for machines."""
