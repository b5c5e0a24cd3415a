-- The table of an event that had none. QuestDB adds a column for each field of its rows.
CREATE TABLE IF NOT EXISTS "{event}" (
    timestamp TIMESTAMP,
    run_id SYMBOL,
    seq LONG
) TIMESTAMP(timestamp) PARTITION BY DAY TTL {ttl} WAL DEDUP UPSERT KEYS(timestamp, run_id, seq)
