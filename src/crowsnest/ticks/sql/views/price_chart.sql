-- The source's chart, a point a second.
CREATE OR REPLACE VIEW price_chart AS (
    SELECT timestamp, symbol, last(price) AS price FROM price_log SAMPLE BY 1s
)
