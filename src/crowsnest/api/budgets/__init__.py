"""Budgets: how much capital each strategy may bind. The engine reads them; people change them, with a reason, by versions."""
