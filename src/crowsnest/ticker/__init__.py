"""A price process that logs one JSON object a line to a file, for Telegraf to read: the trader of the fourth source."""
