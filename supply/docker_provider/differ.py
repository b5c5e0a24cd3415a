"""What changing old inputs into new ones does to a resource. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supply.docker_provider.schema import Change, Schema
from supply.docker_provider.wire import has_unknown


def changes(schema: Schema, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Change]:
    """The changed inputs and what each does, in the schema's order; values that mean the same are no change.

    A value that is not known yet counts as changed. Inputs of `old` that the schema does not know are ignored: another
    provider may have written that state.
    """
    return {name: _effect(schema, name, new) for name in schema.inputs if _differs(schema, name, old.get(name), new.get(name))}


def _differs(schema: Schema, name: str, old: Any, new: Any) -> bool:
    if has_unknown(new) or has_unknown(old):
        return True
    return bool(_comparable(schema, name, old) != _comparable(schema, name, new))


def _comparable(schema: Schema, name: str, value: Any) -> Any:
    value = schema.inputs[name].default if value is None else value
    field = schema.fields.get(name)
    return (value or None) if field is None else field.comparable(value)


def _effect(schema: Schema, name: str, new: Mapping[str, Any]) -> Change:
    declared = schema.inputs[name]
    taken_away = new.get(name) in (None, 0, "", []) and declared.default is None
    return Change.REPLACE if declared.change is Change.UPDATE and taken_away else declared.change
