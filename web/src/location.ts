// Where the viewer is: path and query string of the page, as a store. Three pages do not need a router.
import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();

function tell(): void {
  for (const listener of listeners) listener();
}

window.addEventListener("popstate", tell);

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Go to a path of the viewer; `replace` leaves no step back to the present one. */
export function navigate(path: string, replace = false): void {
  if (path === location.pathname + location.search) return;
  if (replace) history.replaceState(null, "", path);
  else history.pushState(null, "", path);
  tell();
}

/** Where the gateway sent somebody away from to log in here; null when nobody was sent. Only a path of this site counts. */
export function wantedTool(): string | null {
  const wanted = new URLSearchParams(location.search).get("next");
  return wanted && /^\/[a-z][a-z0-9-]*\/[a-z0-9/-]*$/.test(wanted) ? wanted : null;
}

export function usePath(): string {
  return useSyncExternalStore(subscribe, () => location.pathname);
}

export function useQueryString(): string {
  return useSyncExternalStore(subscribe, () => location.search);
}
