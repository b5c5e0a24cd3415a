-- Prices, as the source's program logs them. Other events get a table of the same kind when their first row comes.
CREATE TABLE IF NOT EXISTS price_log (
    timestamp TIMESTAMP,
    symbol SYMBOL,
    price DOUBLE,
    level SYMBOL,
    run_id SYMBOL,
    seq LONG
) TIMESTAMP(timestamp) PARTITION BY DAY TTL {ttl} WAL DEDUP UPSERT KEYS(timestamp, run_id, seq)
