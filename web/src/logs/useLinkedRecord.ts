// The record that a link points at: older pages are loaded until it is there.
import { useEffect, useRef, useSyncExternalStore } from "react";
import type { Item } from "./items";
import type { LogSession } from "./LogSession";
import { parseReference } from "./search";

/** So many pages; the record may be gone from the store. */
const MOST_PAGES = 20;

/** Calls `found` once for each reference, when its record is held. */
export function useLinkedRecord(
  session: LogSession,
  reference: string,
  found: (item: Item, position: number) => void,
): void {
  const { phase, older, run } = useSyncExternalStore(session.subscribe, session.getState);
  const latest = useRef(found);
  latest.current = found;
  const looked = useRef({ reference: "", pages: 0, done: false });

  useEffect(() => {
    if (looked.current.reference !== reference) looked.current = { reference, pages: 0, done: false };
    const wanted = parseReference(reference);
    if (!wanted || looked.current.done || phase !== "ready" || run === 0) return;
    const { stream } = session;
    const position = stream.positionOf(wanted.key);
    const item = position < 0 ? undefined : stream.at(position);
    if (item) {
      looked.current.done = true;
      latest.current(item, position);
    } else if (older === "idle" && looked.current.pages < MOST_PAGES) {
      looked.current.pages += 1;
      void session.loadOlder();
    }
  }, [session, reference, phase, older, run]);
}
