-- Open, high, low and close of a minute, kept up to date by QuestDB itself. Other widths: SAMPLE BY over this one.
CREATE MATERIALIZED VIEW IF NOT EXISTS price_ohlc AS (
    SELECT timestamp, symbol, first(price) AS open, max(price) AS high, min(price) AS low, last(price) AS close, count() AS prices
    FROM price_log
    SAMPLE BY 1m
) PARTITION BY DAY TTL {ttl}
