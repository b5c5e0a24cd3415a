// What the viewer adds to a typed query, and reads out of it. The scope of a strategy is not among it: that is a
// parameter of its own, which the API enforces.

export interface Filter {
  field: string;
  value: string;
  /** Records with this value are left out. */
  not: boolean;
}

/** Fields with a parameter of their own; other filters become part of the query. */
export const PARAMETER_FIELDS = ["level", "source", "container_name"] as const;
type ParameterField = (typeof PARAMETER_FIELDS)[number];

export function isParameterField(field: string): field is ParameterField {
  return (PARAMETER_FIELDS as readonly string[]).includes(field);
}

function quoted(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}

function fieldName(field: string): string {
  return /^[A-Za-z_][A-Za-z0-9_.]*$/.test(field) ? field : quoted(field);
}

export function filterText(filter: Filter): string {
  return `${filter.not ? "!" : ""}${fieldName(filter.field)}:=${quoted(filter.value)}`;
}

/** Where the filter ends and the first pipe begins: a `|` outside quotes and brackets. */
export function splitPipes(query: string): [filter: string, pipes: string] {
  let depth = 0;
  let quote = "";
  for (let at = 0; at < query.length; at += 1) {
    const char = query[at] ?? "";
    if (quote) {
      if (char === "\\" && quote !== "`") at += 1;
      else if (char === quote) quote = "";
    } else if (char === '"' || char === "'" || char === "`") quote = char;
    else if (char === "(" || char === "{" || char === "[") depth += 1;
    else if (char === ")" || char === "}" || char === "]") depth -= 1;
    else if (char === "|" && depth === 0) return [query.slice(0, at).trim(), query.slice(at)];
  }
  return [query.trim(), ""];
}

/** The typed query narrowed by filters that have no parameter of their own. */
export function narrow(query: string, filters: readonly Filter[]): string {
  const [typed, pipes] = splitPipes(query);
  const added = filters.filter((one) => one.not || !isParameterField(one.field)).map(filterText);
  if (added.length === 0) return query.trim() || "*";
  const parts = typed && typed !== "*" ? [`(${typed})`, ...added] : added;
  return [parts.join(" "), pipes].filter(Boolean).join(" ");
}

const WORD = /(!|-)?(?:([A-Za-z0-9_."]+):)?(=|~|<|>|!)?("(?:[^"\\]|\\.)*"|[^\s()|:"]+)/g;
const OPERATORS = new Set(["and", "or", "not", "*"]);

/** Words and phrases that the query looks for in the message, to be highlighted. */
export function searchTerms(query: string): string[] {
  const terms: string[] = [];
  for (const [, negated, field, operator, text = ""] of splitPipes(query)[0].matchAll(WORD)) {
    if (negated || (field && field !== "_msg") || (operator && operator !== "=")) continue;
    const term = text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text.replace(/\*+$/, "");
    if (term.length > 1 && !OPERATORS.has(term.toLowerCase())) terms.push(term);
  }
  return [...new Set(terms)];
}

/** A filter as it stands in the URL: `level:=ERROR`, or `!level:=ERROR`. */
export function encodeFilter(filter: Filter): string {
  return `${filter.not ? "!" : ""}${filter.field}:=${filter.value}`;
}

export function decodeFilter(text: string): Filter | null {
  const not = text.startsWith("!");
  const at = text.indexOf(":=");
  const field = text.slice(not ? 1 : 0, at);
  return at > 0 && field ? { field, value: text.slice(at + 2), not } : null;
}

export function sameFilter(a: Filter, b: Filter): boolean {
  return a.field === b.field && a.value === b.value && a.not === b.not;
}

/** Filters with one more, or without it. Values of a field that the API joins by "or" add up; of others the newest counts. */
export function toggled(filters: readonly Filter[], filter: Filter): Filter[] {
  if (filters.some((one) => sameFilter(one, filter))) return filters.filter((one) => !sameFilter(one, filter));
  const others = filters.filter((one) => one.field !== filter.field || one.value !== filter.value);
  if (filter.not || isParameterField(filter.field)) return [...others, filter];
  return [...others.filter((one) => one.field !== filter.field || one.not), filter];
}
