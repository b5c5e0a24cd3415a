"""What keeps QuestDB's tables as declared: a relay between Telegraf and QuestDB, and the SQL files of tables and views."""
