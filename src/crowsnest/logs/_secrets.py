"""What a secret looks like: the one table of redaction, for the library and for the collectors of container logs.

The library compiles it here; `scripts/collector_files.py` writes it into the programs of Vector (VRL) and Alloy. So every
pattern keeps to what Python's `re`, Rust's `regex` and Go's RE2 have in common: no look-around, no back reference, ASCII
classes. What stands around a secret is therefore matched and put back (`before`, `after`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

REDACTED: Final = "[redacted]"
PNL_MASK: Final = "[not logged: pnl]"


@dataclass(frozen=True, slots=True)
class TextRule:
    """One kind of secret in a text: `secret` is replaced where it stands between `before` and `after`.

    Attributes:
        name: what the rule finds.
        before: pattern of what leads up to the secret, kept; no capturing group.
        secret: pattern of what is replaced; no capturing group.
        after: pattern of what follows, kept; no capturing group.
        flags: of the pattern: `i` ignores case, `s` lets `.` match a line's end.
        mask: what is put in its place.
    """

    name: str
    before: str
    secret: str
    after: str = ""
    flags: str = ""
    mask: str = REDACTED

    @property
    def pattern(self) -> str:
        """The regular expression; its groups 1 and 2 are what is kept."""
        return f"{self.modifiers}({self.before})(?:{self.secret})({self.after})"

    @property
    def plain_pattern(self) -> str:
        """The same without groups, which keep Python from skipping to where a match can begin."""
        return f"{self.modifiers}{self.before}(?:{self.secret}){self.after}"

    @property
    def modifiers(self) -> str:
        """The flags as they begin a pattern."""
        return f"(?{self.flags})" if self.flags else ""


# Names of fields, as words in lower case joined by `_`: `apiKey`, `API-KEY` and `api_key` are one name.
HIDDEN_NAME: Final = (
    r"pass(?:word|wd|phrase|code)|(?:^|_)pwd(?:_|$)|secret|(?:^|_)tokens?$|(?:^|_)api_?keys?|(?:^|_)(?:access|private|secret"
    r"|signing|encryption|listen|license|ssh)_?keys?(?:_|$)|authori[sz]ation|(?:^|_)auth$|credential|cookie|(?:^|_)session_?id$"
    r"|(?:^|_)(?:bearer|jwt|mnemonic|seed_phrase|webhook_url)(?:_|$)"
)
PNL_NAME: Final = r"(?:^|_)[ur]?p_?n_?l(?:_|$)|profit_(?:and_)?loss"

# A name becomes words by these, in this order, then in lower case.
CAMEL: Final = ((r"([a-z0-9])([A-Z])"), (r"([A-Z])([A-Z][a-z])"))
NOT_WORD: Final = r"[^a-z0-9]+"

# One search for what any rule below needs; most texts hold none of it and are done.
TRIGGER: Final = (
    r"(?i)pass|pwd|secret|token|key|auth|bearer|basic|cookie|credential|session|jwt|mnemonic|seed|://|-----begin|akia|asia|xox"
    r"|gh[pousr]_|github_pat|webhook|\bsk[-_]|aiza|eyj|[0-9]{6}:[A-Za-z0-9_-]|p_?n_?l|p&l|profit"
)

_WORD = r"[A-Za-z0-9_.-]{0,64}"
NAME_IN_TEXT: Final = (
    rf"(?:{_WORD}?(?:pass(?:word|wd|phrase|code)|secret|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|signing[_-]?key|encryption[_-]?key|listen[_-]?key|license[_-]?key|ssh[_-]?key|credential|session[_-]?id|mnemonic"
    rf"|seed[_-]?phrase|webhook[_-]?url|bearer|cookie|authori[sz]ation){_WORD}|{_WORD}?(?:token|pwd|jwt)s?"
    rf"|(?:{_WORD}[_-])?auth)"
)
# A value ends at its closing quote, else at the next blank. A quote after a backslash closes at its like: text within text
# is escaped. What is escaped more than once, or opens a bracket, takes the rest of its line.
_VALUE = (
    r"""\\"(?:[^\\]|\\{2,}"|\\+[^\\"])*(?:\\"|\\*$)"""
    r"""|\\'(?:[^\\]|\\{2,}'|\\+[^\\'])*(?:\\'|\\*$)"""
    r"""|\\{2,}["'][^\r\n]*"""
    r"""|[bru]{0,2}"(?:[^"\\]|\\+[^\\])*(?:"|\\*$)"""
    r"""|[bru]{0,2}'(?:[^'\\]|\\+[^\\])*(?:'|\\*$)"""
    r"""|[\[{(][^\r\n]*|[^\s"'\\]\S*"""
)
_PNL_WORD = (
    rf"(?:{_WORD}[_.-])?[ur]?(?:pnl|p&l|profit and loss)(?:[_.-][A-Za-z0-9_]{{0,64}})?[\"']?"
    r"[ \t]*(?:[:=]|is|of|was)?[ \t]*"
)

# Every pattern starts at a fixed text or a word's edge: a scan is linear in the text, whatever is logged.
SECRET_RULES: Final = (
    TextRule(
        "private_key",
        "",
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|$)",
        flags="s",
    ),
    TextRule("slack_webhook", r"https://hooks\.slack(?:-gov)?\.com/", r"[^\s\"'<>\\]+", flags="i"),
    TextRule("discord_webhook", r"https://(?:[a-z0-9-]+\.)?discord(?:app)?\.com/api/webhooks/", r"[^\s\"'<>\\]+", flags="i"),
    TextRule("url_credentials", "://", r"[^\s/\"'<>]*", "@"),
    TextRule(
        "http_header",
        r"\b(?:(?:proxy-)?authorization|(?:set-)?cookie)\\*[\"']?[ \t]*[:=][ \t]*",
        r"[^\r\n]*",
        flags="i",
    ),
    TextRule("bearer", r"\bbearer[ \t]+", r"[^\s\"'<>\\]{6,}", flags="i"),
    TextRule("basic", r"\bbasic[ \t]+", r"[a-z0-9+/_-]{6,}={1,2}", flags="i"),
    TextRule(
        "named_value",
        rf"(?:^|[^A-Za-z0-9_-]){NAME_IN_TEXT}\\*[\"']?[ \t]*(?:=>|:=|=|:)[ \t]*",
        _VALUE,
        flags="is",
    ),
    TextRule("telegram_bot", r"(?:^|[^0-9])", r"[0-9]{6,12}:[A-Za-z0-9_-]{30,}"),
    TextRule("aws_key_id", r"(?:^|[^A-Za-z0-9])", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}", r"(?:\b|_)"),
    TextRule("github", r"\b", r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}"),
    TextRule("slack_token", r"\b", r"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}"),
    TextRule("api_key", r"\b", r"sk[-_][A-Za-z0-9_-]{16,}|AIza[A-Za-z0-9_-]{30,}"),
    TextRule("json_web_token", r"\b", r"eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"),
)
PNL_RULE: Final = TextRule(
    "pnl",
    rf"(?:^|[^A-Za-z0-9_.-]){_PNL_WORD}",
    r"[-+(]?[$€£]?[ \t]?[-+]?[0-9][0-9,._eE+-]*(?:[ \t]?[%)])?",
    flags="i",
    mask=PNL_MASK,
)
