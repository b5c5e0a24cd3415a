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
ALLOY = ROOT / "roles/alloy/files/containers.alloy"
PROGRAM = ROOT / "roles/vector/files/container.vrl"
VECTOR_TESTS = ROOT / "roles/vector/files/tests.json"
# The transform of vector.yaml.j2 that runs the program.
RECORD = "record"

# In JSON a letter, or the slash of an address, may be written so that the search for suspects would miss it.
ESCAPED = r"|\\[u/]"

(HEALTH_CHECK,) = (rule for rule in DEFAULT_DROP_RULES if rule.name == "health_check")


def section(text: str, name: str, content: str) -> str:
    """`text` with the lines between the marks of this name replaced, indented as the marks are.

    Raises:
        ValueError: there are no such marks.
    """
    marks = rf"(?P<begin>^(?P<indent> *)\S.*begin generated: {name}.*\n)(?s:.*?)(?P<end>^ *\S.*end generated: {name}.*\n)"
    found = re.search(marks, text, re.MULTILINE)
    if found is None:
        raise ValueError(f"no section {name!r}")
    lines = "".join(f"{found['indent']}{line}".rstrip() + "\n" for line in content.splitlines())
    return text[: found.start()] + found["begin"] + lines + found["end"] + text[found.end() :]


def vrl_regex(pattern: str) -> str:
    """A regular expression as a literal of VRL."""
    return "r'" + pattern.replace("'", r"\'") + "'"


def by_path(pattern: str) -> str:
    """A pattern for a field's name, made to fit the dotted path of a nested field: an outer field's name counts, too."""
    opened = pattern.replace("(?:^|_)", "(?:^|[_.])").replace("(?:_|$)", "(?:[_.]|$)")
    return re.sub(r"\$(?=\||$)", r"(?:\\.|$)", opened)


def vrl_mask() -> str:
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


def _go(text: str) -> str:
    """A text as a constant of Go, which templates and selectors take."""
    return json.dumps(text, ensure_ascii=False)


def _selector(shape: str, pattern: str) -> str:
    """A selector of a match block; its parser takes no raw strings in Alloy 1.0."""
    return f'`{{shape="{shape}"}} |~ {_go(pattern)}`'


def _alloy_replace(rule: TextRule) -> str:
    """A stage that replaces what its only group captures."""
    after = f"(?:{rule.after})" if rule.after else ""
    expression = f"{rule.modifiers}(?:{rule.before})({rule.secret}){after}"
    return f'stage.replace {{\n  expression = `{expression}`\n  replace    = "{rule.mask}"\n}}'


def alloy_secrets_in_text() -> str:
    """The inside of a match block that replaces secrets in a text."""
    stages = map(_alloy_replace, (*_secrets.SECRET_RULES, _secrets.PNL_RULE))
    return "\n\n".join([f"selector = {_selector('text', _secrets.TRIGGER)}", *stages])


def alloy_drop_rule(rule: DropRule = HEALTH_CHECK) -> str:
    """Stages that drop what the rule names, by the message or the field `action`."""

    def drop(source: str, expression: str) -> str:
        return (
            f'stage.drop {{\n  source              = "{source}"\n  expression          = `{expression}`\n'
            f'  drop_counter_reason = "{rule.name}"\n}}'
        )

    whole = f"(?i)^(?:{'|'.join(sorted(rule.events))})$"
    return "\n\n".join([drop("said", rule.pattern), drop("said", whole), drop("own_action", whole)])


def alloy_mask() -> str:
    """Part of a Go template that masks `$value` by the field's `$path`, else by what its text looks like."""

    def replaced(rule: TextRule) -> str:
        return f"{{{{- $value = regexReplaceAll {_go(rule.pattern)} $value {_go(f'${{1}}{rule.mask}${{2}}')} -}}}}"

    def named(pattern: str) -> str:
        return f'and (not (kindIs "bool" $value)) (regexMatch {_go(by_path(pattern))} $path)'

    return "\n".join(
        [
            *(f'{{{{- $path = regexReplaceAll {_go(pattern)} $path "${{1}}_${{2}}" -}}}}' for pattern in _secrets.CAMEL),
            '{{- $path = regexReplaceAll "[^a-z0-9.]+" (lower $path) "_" -}}',
            f"{{{{- if {named(_secrets.HIDDEN_NAME)} -}}}}",
            f'  {{{{- $value = "{_secrets.REDACTED}" -}}}}',
            f"{{{{- else if {named(_secrets.PNL_NAME)} -}}}}",
            f'  {{{{- $value = "{_secrets.PNL_MASK}" -}}}}',
            '{{- else if kindIs "string" $value -}}',
            *(f"  {replaced(rule)}" for rule in (*_secrets.SECRET_RULES, _secrets.PNL_RULE)),
            "{{- end -}}",
        ]
    )


def alloy() -> str:
    """Alloy's pipeline with its generated sections."""
    text = section(ALLOY.read_text(encoding="utf-8"), "secrets in text", alloy_secrets_in_text())
    text = section(text, "drop rule", alloy_drop_rule())
    text = section(text, "suspects", f"selector = {_selector('json', _secrets.TRIGGER + ESCAPED)}")
    return section(text, "mask", alloy_mask())


def program() -> str:
    """The VRL program with its generated sections."""
    text = section(PROGRAM.read_text(encoding="utf-8"), "mask", vrl_mask())
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
    return {PROGRAM: program(), VECTOR_TESTS: vector_tests(), ALLOY: alloy()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
