"""Backups and drift: what would be lost, whether it can be restored, and whether what runs is what was declared."""

from __future__ import annotations

from dashboards.frame import Dashboard, row
from dashboards.panels import Look, chart, stat
from dashboards.queries import prom, prom_now
from dashboards.vocabulary import PASSED, Unit

AGE = "max by (store) (time() - crowsnest_backup_last_success_timestamp_seconds)"

DASHBOARD = Dashboard(
    uid="crowsnest-backup",
    title="Backups and drift",
    description="What would be lost, whether it can be restored, and whether what runs is what was declared.",
    tags=("platform",),
    related=("crowsnest-capacity", "crowsnest-platform"),
    since="now-7d",
    refresh="5m",
    rows=(
        row(
            "Could it be restored?",
            (
                stat(
                    "Age of the backups",
                    "Of each store; what came since would be lost.",
                    Unit.SECONDS,
                    prom_now(AGE, "{{store}}"),
                    look=Look(alerts=("BackupTooOld",), width=12),
                ),
                stat(
                    "Trial restores",
                    "Whether the last one of each store brought everything back.",
                    Unit.STATE,
                    prom_now("min by (store) (crowsnest_restore_test_success)", "{{store}}"),
                    look=Look(alerts=("RestoreTestFailed",), states=PASSED, width=12),
                ),
            ),
            (
                chart(
                    "Age over time",
                    "A saw: each tooth is a backup.",
                    Unit.SECONDS,
                    prom(AGE, "{{store}}"),
                    look=Look(alerts=("BackupTooOld",)),
                ),
            ),
        ),
        row(
            "Is it what was declared?",
            (
                stat(
                    "Drift",
                    "Differences between what runs and what was declared; `make drift` names them.",
                    Unit.COUNT,
                    prom_now("max by (stack) (crowsnest_drift_findings)", "{{stack}}"),
                    look=Look(alerts=("DriftFound",), width=8),
                ),
                stat(
                    "Last checks",
                    "How long ago jobs wrote their results: backup, restore, drift.",
                    Unit.SECONDS,
                    prom_now("max by (file) (time() - node_textfile_mtime_seconds)", "{{file}}"),
                    look=Look(width=16),
                ),
            ),
            (
                chart(
                    "Drift over time",
                    "When it came and went.",
                    Unit.COUNT,
                    prom("max by (stack) (crowsnest_drift_findings)", "{{stack}}"),
                    look=Look(alerts=("DriftFound",), low=0),
                ),
            ),
        ),
    ),
)
