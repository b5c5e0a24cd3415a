-- The newest price of each symbol.
CREATE OR REPLACE VIEW price_latest AS (
    SELECT timestamp, symbol, price FROM price_log LATEST ON timestamp PARTITION BY symbol
)
