// Keys that work anywhere on the page, unless somebody is typing or a button has them.
import { useEffect, useRef } from "react";
import { usePreferences } from "../preferences";

export type Shortcuts = readonly (readonly [key: string, run: () => void])[];

const TYPING = "input, select, textarea, dialog, [contenteditable]";
/** What has its own use for these keys. */
const PRESSING = "button, a, summary, [role=tab], [role=application]";
const PRESSED = new Set([" ", "Enter"]);
/** Keys with a use of their own in the page; they are no letters and cannot be dictated. */
const ALWAYS = new Set(["Escape"]);

export function useShortcuts(shortcuts: Shortcuts): void {
  const { singleKeys } = usePreferences();
  const latest = useRef(shortcuts);
  latest.current = shortcuts;

  useEffect(() => {
    function onKeyDown(event: KeyboardEvent) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (!singleKeys && !ALWAYS.has(event.key)) return;
      const target = event.target as HTMLElement;
      if (target.closest(TYPING)) return;
      if (PRESSED.has(event.key) && target.closest(PRESSING)) return;
      const run = latest.current.find(([key]) => key === event.key)?.[1];
      if (!run) return;
      event.preventDefault();
      run();
    }
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [singleKeys]);
}
