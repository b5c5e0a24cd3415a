// Links in absolute time: whoever opens one sees the records that its sender saw.
import { type ReactNode, useEffect, useState } from "react";
import { getPreferences } from "../preferences";
import { Icon } from "../ui/Icon";
import type { Item } from "./items";
import type { LogSession } from "./LogSession";
import { formatSearch, recordReference, type Scope, type Search } from "./search";
import { rfc3339 } from "./time";

const TOAST_MS = 6_000;

/** The address of what `session` shows of `search`; with an item, of that record among them. */
function linkTo(session: LogSession, search: Search, scope: Scope | null, item: Item | null): string {
  const { window } = session.getState();
  const fixed = { ...search, record: item?.kind === "row" ? recordReference(item.record._time, item.key) : "" };
  if (window && !search.end) {
    // While live the newest record shown may be younger than the query.
    const newestMs = session.stream.getState().newestMs ?? 0;
    fixed.start = rfc3339(window.startMs);
    fixed.end = rfc3339(Math.max(window.endMs, newestMs + 1));
  }
  // The scope is the page's, not the URL's.
  const written = { ...fixed, live: false, strategyId: scope ? "" : fixed.strategyId };
  return location.origin + location.pathname + formatSearch(written, getPreferences(), true);
}

/** A function that copies a link, and the message to show about it. */
export function useLink(
  session: LogSession,
  search: Search,
  scope: Scope | null,
): [copy: (item: Item | null) => void, toast: ReactNode] {
  const [told, setTold] = useState<{ text: string; link: string } | null>(null);

  useEffect(() => {
    if (!told) return;
    const timer = setTimeout(() => setTold(null), TOAST_MS);
    return () => clearTimeout(timer);
  }, [told]);

  async function copy(item: Item | null) {
    const link = linkTo(session, search, scope, item);
    let text = "Copy this link:";
    try {
      await navigator.clipboard.writeText(link);
      text = "Link copied: it shows these records for as long as the store has them.";
    } catch {
      // Without TLS, or without permission, the browser keeps the clipboard to itself.
    }
    setTold({ text, link });
  }

  const toast = told && (
    <div className="toast" role="status">
      <span>{told.text}</span>
      <input readOnly value={told.link} aria-label="Link" onFocus={(event) => event.target.select()} />
      <button type="button" className="button button-bare" aria-label="Close" onClick={() => setTold(null)}>
        <Icon name="close" />
      </button>
    </div>
  );
  return [(item) => void copy(item), toast];
}
