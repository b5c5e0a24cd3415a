"""Metrics of what runs now and then, as a file that node-exporter shows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.catalogue import catalogue
from infra.settings import Settings

EXPORTER = "node-exporter"


@dataclass(frozen=True)
class Metric:
    """One gauge: its values, each with the labels that tell it from the others."""

    name: str
    help: str
    values: list[tuple[Mapping[str, str], float]] = field(default_factory=list)


def render(metrics: Iterable[Metric]) -> str:
    """The text that Prometheus reads; a metric without a value is left out."""
    lines: list[str] = []
    for metric in metrics:
        if metric.values:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} gauge"]
            lines += [f"{metric.name}{_labels(labels)} {value:.15g}" for labels, value in metric.values]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    escaped = {name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in labels.items()}
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}" if labels else ""


def publish(settings: Settings, name: str, metrics: Iterable[Metric]) -> bool:
    """Put a file where the stack's node-exporter looks, at once. False where the stack has none, or was never deployed."""
    exporter = catalogue()[EXPORTER]
    folder = settings.folders.data / EXPORTER
    if exporter not in settings.components or not folder.is_dir():
        return False
    file: Path = folder / f"{name}.prom"
    draft = file.with_suffix(".draft")
    draft.write_text(render(metrics), encoding="utf-8")
    os.chown(draft, exporter.owner, exporter.uid)
    draft.chmod(0o440)
    draft.replace(file)
    return True
