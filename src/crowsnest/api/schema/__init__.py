"""The schema `trading` in PostgreSQL: its tables, its migrations, and how to reach it.

The API owns it and brings it up to date when it starts; the engine writes rows into it and reads budgets, with rights to no
more.
"""
