"""Saved views: a name for a query, each user's own."""
