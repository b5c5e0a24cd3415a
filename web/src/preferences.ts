// What a person likes, kept in this browser: theme, time zone, columns, keys. A full or forbidden storage loses nothing else.
import { useSyncExternalStore } from "react";
import { DEFAULT_COLUMNS } from "./logs/search";

export interface Preferences {
  theme: "system" | "dark" | "light";
  zone: string;
  columns: string[];
  /** Other fields of a record behind its message. */
  inlineFields: boolean;
  sidebar: boolean;
  /** Shortcuts of a single key; speech input may trigger them by accident. */
  singleKeys: boolean;
}

const STORAGE_KEY = "crowsnest.preferences";
const DEFAULTS: Preferences = {
  theme: "system",
  zone: "utc",
  columns: [...DEFAULT_COLUMNS],
  inlineFields: true,
  sidebar: true,
  singleKeys: true,
};

function read(): Preferences {
  try {
    const kept = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "{}") as Partial<Preferences>;
    return { ...DEFAULTS, ...kept };
  } catch {
    return DEFAULTS;
  }
}

let current = read();
const listeners = new Set<() => void>();

function applyTheme(): void {
  if (current.theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = current.theme;
}

applyTheme();

/** Whether the page is dark at the moment, chosen or by the system. */
export function isDark(): boolean {
  return current.theme === "dark" || (current.theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
}

export function getPreferences(): Preferences {
  return current;
}

export function prefer(change: Partial<Preferences>): void {
  current = { ...current, ...change };
  applyTheme();
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(current));
  } catch {
    // Private windows may refuse; the choice holds until the page is closed.
  }
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function usePreferences(): Preferences {
  return useSyncExternalStore(subscribe, getPreferences);
}
