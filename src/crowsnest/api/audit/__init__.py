"""Who did what: an append-only table with a hash chain. Knows nothing of the other domains, so that any service can use it."""
