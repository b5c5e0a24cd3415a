-- Every log event of every table, dead letters as well; made anew when an event gets its table.
CREATE OR REPLACE VIEW log_events AS ({selects})
