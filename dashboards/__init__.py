"""Dashboards as Python: one file a dashboard, one vocabulary for all. ``python -m dashboards`` writes their JSON."""
