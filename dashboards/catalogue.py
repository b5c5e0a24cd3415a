"""Every dashboard, in the order in which people meet them."""

from __future__ import annotations

from dashboards import (
    alerting,
    backup,
    capacity,
    data,
    execution,
    feed,
    host,
    latency,
    lifecycle,
    logs,
    model,
    orders,
    pipelines,
    platform,
    price,
    reconciliation,
    risk,
    strategy,
    trading,
)

DASHBOARDS = (
    *(trading.DASHBOARD, risk.DASHBOARD, execution.DASHBOARD, model.DASHBOARD),
    *(data.DASHBOARD, orders.DASHBOARD, strategy.DASHBOARD),
    *(latency.DASHBOARD, price.DASHBOARD, logs.DASHBOARD, lifecycle.DASHBOARD, feed.DASHBOARD, reconciliation.DASHBOARD),
    *(pipelines.DASHBOARD, alerting.DASHBOARD, host.DASHBOARD, capacity.DASHBOARD, backup.DASHBOARD, platform.DASHBOARD),
)
