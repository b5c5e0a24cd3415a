-- Rows that QuestDB refused, with the reason and all of the line.
CREATE TABLE IF NOT EXISTS dead_letters (
    timestamp TIMESTAMP,
    event SYMBOL,
    run_id SYMBOL,
    seq LONG,
    reason VARCHAR,
    line VARCHAR,
    cut BOOLEAN
) TIMESTAMP(timestamp) PARTITION BY DAY TTL {ttl} WAL DEDUP UPSERT KEYS(timestamp, event, run_id, seq)
