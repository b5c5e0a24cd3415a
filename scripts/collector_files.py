"""Writes the parts of the collectors' files that come from a table kept elsewhere.

The rules of redaction and of health checks are the library's own (`crowsnest.logs`); Vector's unit tests are the lines of
tests/containers/lines.yml. `tests/unit/test_container_lines.py` fails when a file is not up to date.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from crowsnest.logs import _secrets
from crowsnest.logs._secrets import TextRule
from crowsnest.logs.drops import DEFAULT_DROP_RULES, DropRule
from tests.containers.lines import Line, lines

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "roles/vector/files/container.vrl"
VECTOR_TESTS = ROOT / "roles/vector/files/tests.json"
# The transform of vector.yaml.j2 that runs the program.
RECORD = "record"

(HEALTH_CHECK,) = (rule for rule in DEFAULT_DROP_RULES if rule.name == "health_check")


def section(text: str, name: str, content: str) -> str:
    """`text` with what stands between the marks of this name replaced, indented as the marks are.

    Raises:
        ValueError: there are no such marks.
    """
    marks = rf"^(?P<indent> *)(?P<mark>#|//) begin generated: {name}\n.*?^ *(?:#|//) end generated: {name}\n"
    found = re.search(marks, text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"no section {name!r}")
    indent, mark = found["indent"], found["mark"]
    block = [f"{mark} begin generated: {name}", *content.splitlines(), f"{mark} end generated: {name}"]
    return text[: found.start()] + "".join(f"{indent}{line}\n" for line in block) + text[found.end() :]


def vrl_regex(pattern: str) -> str:
    """A regular expression as a literal of VRL."""
    return "r'" + pattern.replace("'", r"\'") + "'"


def by_path(pattern: str) -> str:
    """A pattern for a field's name, made to fit the dotted path of a nested field: an outer field's name counts, too."""
    opened = pattern.replace("(?:^|_)", "(?:^|[_.])").replace("(?:_|$)", "(?:[_.]|$)")
    return re.sub(r"\$(?=\||$)", r"(?:\\.|$)", opened)


def vrl_secrets() -> str:
    """VRL that masks `value` by the field's `path`, else by what its text looks like."""

    def replaced(rule: TextRule) -> str:
        return f'  value = replace(value, {vrl_regex(rule.pattern)}, "${{1}}{rule.mask}${{2}}")'

    masked = "!is_boolean(value) && !is_null(value)"
    return "\n".join(
        [
            *(f'path = replace(path, {vrl_regex(pattern)}, "${{1}}_${{2}}")' for pattern in _secrets.CAMEL),
            "path = replace(downcase(path), r'[^a-z0-9.]+', \"_\")",
            f"if match(path, {vrl_regex(by_path(_secrets.HIDDEN_NAME))}) && {masked} {{",
            f'  value = "{_secrets.REDACTED}"',
            f"}} else if match(path, {vrl_regex(by_path(_secrets.PNL_NAME))}) && {masked} {{",
            f'  value = "{_secrets.PNL_MASK}"',
            f'}} else if is_string(value) && match(string(value) ?? "", {vrl_regex(_secrets.TRIGGER)}) {{',
            '  value = string(value) ?? ""',
            *map(replaced, (*_secrets.SECRET_RULES, _secrets.PNL_RULE)),
            "}",
        ]
    )


def vrl_drop_rule(rule: DropRule = HEALTH_CHECK) -> str:
    """VRL that names the rule by which a line below WARNING is not worth storing."""
    events = ", ".join(f'"{event}"' for event in sorted(rule.events))
    return "\n".join(
        [
            'if level == "DEBUG" || level == "INFO" {',
            f"  events = [{events}]",
            f"  pinged = match(message, {vrl_regex(rule.pattern)})",
            f'  if pinged || includes(events, downcase(message)) || includes(events, action) {{ drop_rule = "{rule.name}" }}',
            "}",
        ]
    )


def program() -> str:
    """The VRL program with its generated sections."""
    text = section(PROGRAM.read_text(encoding="utf-8"), "secrets", vrl_secrets())
    return section(text, "drop rule", vrl_drop_rule())


def _json(value: object) -> str:
    """JSON in which Vector finds no variable, no secret's name, no template and no quote of VRL, whatever the text is."""
    text = json.dumps(value)
    for character in "$'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.replace("SECRET[", "SECRET\\u005b").replace("{{", "{\\u007b")


def _vector_test(line: Line) -> dict[str, object]:
    condition = f"assert_eq!(., parse_json!(s'{_json(line.expected)}'))"
    return {
        "name": line.name,
        "inputs": [{"type": "log", "insert_at": RECORD, "log_fields": line.event}],
        "outputs": [{"extract_from": RECORD, "conditions": [{"type": "vrl", "source": condition}]}],
    }


def vector_tests() -> str:
    """A configuration with unit tests for `vector test`, a test a line; lines too long for a file are left out."""
    tests = [_json(_vector_test(line)) for line in lines() if not line.made]
    return '{"tests": [\n' + ",\n".join(tests) + "\n]}\n"


def files() -> dict[Path, str]:
    """Every generated file with the text it should have."""
    return {PROGRAM: program(), VECTOR_TESTS: vector_tests()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
