"""The stack's containers: what state they are in, and the restart of those that may be restarted from here."""
