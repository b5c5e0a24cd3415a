-- Each run: its records, and how many are missing between its first and its last.
CREATE OR REPLACE VIEW log_runs AS (
    SELECT run_id, min(timestamp) AS first, max(timestamp) AS last, count() AS records, max(seq) - min(seq) + 1 - count() AS missing
    FROM log_events
    WHERE run_id IS NOT NULL AND run_id != ''
)
