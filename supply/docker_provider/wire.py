"""The engine's property structs, to and from plain Python values.

Secrets are unwrapped (the provider answers that it does not accept them, so the engine keeps the marks), whole numbers
become int, and an unknown value of a preview stays the engine's marker string: ask `has_unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_WRAPPERS = {
    "1b47061264138c4ac30d75fd1eb44270": "secret",
    "d0e6a833031e9bbcd3f4e8bde6ca49a4": "output value",
}


def to_python(struct: struct_pb2.Struct) -> dict[str, Any]:
    """The struct's properties without nulls. Raises ValueError for a value that no property here takes (an asset)."""
    return {
        name: value for name, item in struct.fields.items() if not name.startswith("__") and (value := _value(item)) is not None
    }


def to_struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """Plain values as a struct; None is left out."""
    struct = struct_pb2.Struct()
    struct.update({name: value for name, value in properties.items() if value is not None})
    return struct


def has_unknown(value: Any) -> bool:
    """Whether a value, or anything inside it, is not known yet."""
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return bool(value == UNKNOWN)


def _value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "string_value":
        return value.string_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    if kind == "struct_value":
        return _struct(value.struct_value)
    return None


def _struct(struct: struct_pb2.Struct) -> Any:
    if _SIGNATURE not in struct.fields:
        return to_python(struct)
    if struct.fields[_SIGNATURE].string_value not in _WRAPPERS:
        raise ValueError("assets, archives and resource references are not accepted here")
    return _value(struct.fields["value"]) if "value" in struct.fields else UNKNOWN
