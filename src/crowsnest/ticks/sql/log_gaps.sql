-- Records that are missing: between which numbers of a run, and how many. Numbers run over all events.
CREATE OR REPLACE VIEW log_gaps AS (
    SELECT run_id, after, seq AS before, seq - after - 1 AS missing
    FROM (SELECT run_id, seq, lag(seq) OVER (PARTITION BY run_id ORDER BY seq) AS after FROM log_events)
    WHERE seq - after > 1
)
