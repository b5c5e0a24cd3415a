"""Telling people what happens in a trading process, without the process ever waiting for it.

>>> from crowsnest.alerts import AlertManager, AlertSeverity
>>> alerts = AlertManager(channels=["log", "slack"])
>>> alerts.configure_slack(webhook_url="https://hooks.slack.com/services/...")
>>> alerts.send(severity=AlertSeverity.CRITICAL, title="Kill Switch Activated", message="VIX > 35", metadata={"vix": 38.5})

`AlertManager` is a class of this library. It has nothing to do with Prometheus Alertmanager, the service that routes the
alerts of rules.
"""

from __future__ import annotations

from crowsnest.alerts._alert import AlertSeverity, Notification
from crowsnest.alerts._apprise import AppriseChannel
from crowsnest.alerts._channels import Channel, RateLimit, SlackChannel, TelegramChannel
from crowsnest.alerts._http import Outcome, Verdict
from crowsnest.alerts._ledger import ChannelStats, DropReason
from crowsnest.alerts._manager import AlertManager
from crowsnest.alerts._monitor import Decision, ThresholdMonitor
from crowsnest.alerts._settings import AlertSettings
from crowsnest.alerts.thresholds import THRESHOLDS, Bound, Level, Threshold

__all__ = [
    "THRESHOLDS",
    "AlertManager",
    "AlertSettings",
    "AlertSeverity",
    "AppriseChannel",
    "Bound",
    "Channel",
    "ChannelStats",
    "Decision",
    "DropReason",
    "Level",
    "Notification",
    "Outcome",
    "RateLimit",
    "SlackChannel",
    "TelegramChannel",
    "Threshold",
    "ThresholdMonitor",
    "Verdict",
]
