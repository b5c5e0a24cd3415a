"""Containers and host: what the machine has left, and who takes it."""

from __future__ import annotations

from dashboards.frame import Dashboard, Variable, row
from dashboards.panels import Look, chart, stat
from dashboards.promql import RATE
from dashboards.queries import prom, prom_now
from dashboards.vocabulary import TAKEN, UP, Unit

CONTAINER = Variable("container", "Container", "prometheus", 'label_values(container_memory_working_set_bytes{name!=""}, name)')
C = 'name=~"$container",name!=""'
DISKS = 'fstype!~"tmpfs|overlay|squashfs|ramfs"'
BUSY = '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))'
MEMORY_LEFT = "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes"
OF_LIMIT = f"container_memory_working_set_bytes{{{C}}} / (container_spec_memory_limit_bytes{{{C}}} > 0)"
THROTTLED = (
    f"rate(container_cpu_cfs_throttled_periods_total{{{C}}}[5m]) / (rate(container_cpu_cfs_periods_total{{{C}}}[5m]) > 0)"
)

DASHBOARD = Dashboard(
    uid="crowsnest-host",
    title="Containers and host",
    description="What the machine has left, and who takes it.",
    tags=("platform",),
    variables=(CONTAINER,),
    related=("crowsnest-capacity", "crowsnest-platform"),
    rows=(
        row(
            "Does the machine have enough?",
            (
                stat(
                    "CPU busy",
                    "Share of all processors, over five minutes.",
                    Unit.RATIO,
                    prom_now(f"max({BUSY})", "busy"),
                    look=Look(alerts=("HostCPUBusy",)),
                ),
                stat(
                    "Memory left",
                    "What can be had without swapping.",
                    Unit.RATIO,
                    prom_now(f"min({MEMORY_LEFT})", "left"),
                    look=Look(alerts=("HostMemoryLow",)),
                ),
                stat(
                    "Disk left",
                    "Of the fullest file system.",
                    Unit.RATIO,
                    prom_now(f"min(node_filesystem_avail_bytes{{{DISKS}}} / node_filesystem_size_bytes)", "left"),
                    look=Look(alerts=("HostDiskAlmostFull",)),
                ),
                stat(
                    "Inodes left",
                    "Of the file system with the fewest.",
                    Unit.RATIO,
                    prom_now(f"min(node_filesystem_files_free{{{DISKS}}} / (node_filesystem_files > 0))", "left"),
                    look=Look(alerts=("HostInodesLow",)),
                ),
                stat(
                    "Clock",
                    "How far it is off, by the kernel.",
                    Unit.SECONDS,
                    prom_now("max(abs(node_timex_offset_seconds))", "off by"),
                    look=Look(alerts=("HostClockSkew",)),
                ),
                stat(
                    "Clock is synchronised",
                    "Whether something keeps it right.",
                    Unit.STATE,
                    prom_now("min(node_timex_sync_status)", "clock"),
                    look=Look(alerts=("HostClockNotSynchronised",), states={0: UP[0], 1: TAKEN[1]}),
                ),
            ),
            (
                stat(
                    "Killed for memory, 10 min",
                    "Processes that the kernel ended because memory had run out.",
                    Unit.COUNT,
                    prom_now("sum(increase(node_vmstat_oom_kill[10m]))", "killed"),
                    look=Look(alerts=("HostOutOfMemoryKill",)),
                ),
                stat(
                    "Disk left in a day",
                    "At the pace of the last six hours; below 0 it will be full.",
                    Unit.BYTES,
                    prom_now(f"min(predict_linear(node_filesystem_avail_bytes{{{DISKS}}}[6h], 24 * 3600))", "left"),
                    look=Look(alerts=("HostDiskFullWithinADay",)),
                ),
            ),
        ),
        row(
            "Who takes it?",
            (
                chart(
                    "CPU by container",
                    "Processors that each uses.",
                    Unit.NUMBER,
                    prom(f"sum by (name) (rate(container_cpu_usage_seconds_total{{{C}}}{RATE}))", "{{name}}"),
                    look=Look(stacked=True),
                ),
                chart(
                    "Memory of its limit",
                    "Share that each container uses of what it may.",
                    Unit.RATIO,
                    prom(f"max by (name) ({OF_LIMIT})", "{{name}}"),
                    look=Look(alerts=("ContainerMemoryHigh",)),
                ),
            ),
            (
                chart(
                    "Throttled",
                    "Share of the periods in which a container had to wait for its CPU limit.",
                    Unit.RATIO,
                    prom(f"max by (name) ({THROTTLED})", "{{name}}"),
                    look=Look(alerts=("ContainerThrottled",)),
                ),
                chart(
                    "Restarts, 15 min",
                    "How often each container was started anew.",
                    Unit.COUNT,
                    prom(f"max by (name) (changes(container_start_time_seconds{{{C}}}[15m]))", "{{name}}"),
                    look=Look(alerts=("ContainerRestarts",)),
                ),
                chart(
                    "Memory by container",
                    "Bytes that cannot be taken back.",
                    Unit.BYTES,
                    prom(f"max by (name) (container_memory_working_set_bytes{{{C}}})", "{{name}}"),
                    look=Look(stacked=True),
                ),
            ),
        ),
        row(
            "What does the machine do?",
            (
                chart(
                    "CPU by mode",
                    "Processors in each mode; iowait is time spent waiting for disks.",
                    Unit.NUMBER,
                    prom(f'sum by (mode) (rate(node_cpu_seconds_total{{mode!="idle"}}{RATE}))', "{{mode}}"),
                    look=Look(stacked=True),
                ),
                chart(
                    "Load",
                    "Processes that run or wait, and the number of processors.",
                    Unit.NUMBER,
                    prom("max(node_load1)", "1 min"),
                    prom("max(node_load15)", "15 min"),
                    prom('count(count by (cpu) (node_cpu_seconds_total{mode="idle"}))', "processors"),
                ),
                chart(
                    "Memory",
                    "Of the whole machine.",
                    Unit.BYTES,
                    prom("max(node_memory_MemTotal_bytes)", "total"),
                    prom("max(node_memory_MemAvailable_bytes)", "available"),
                ),
            ),
            (
                chart(
                    "Disk",
                    "Bytes a second, written and read.",
                    Unit.BYTES_PER_SECOND,
                    prom(f"sum(rate(node_disk_written_bytes_total{RATE}))", "written"),
                    prom(f"sum(rate(node_disk_read_bytes_total{RATE}))", "read"),
                ),
                chart(
                    "Network",
                    "Bytes a second, sent and received.",
                    Unit.BYTES_PER_SECOND,
                    prom(f"sum(rate(node_network_transmit_bytes_total{RATE}))", "sent"),
                    prom(f"sum(rate(node_network_receive_bytes_total{RATE}))", "received"),
                ),
                chart(
                    "File systems",
                    "Share that is left.",
                    Unit.RATIO,
                    prom(
                        f"min by (mountpoint) (node_filesystem_avail_bytes{{{DISKS}}} / node_filesystem_size_bytes)",
                        "{{mountpoint}}",
                    ),
                    look=Look(alerts=("HostDiskAlmostFull",), low=0),
                ),
            ),
        ),
    ),
)
