// The search of the page, and how to change it: read from the URL, written to the URL.
import { useCallback, useMemo } from "react";
import { navigate, useQueryString } from "../location";
import { getPreferences, prefer, usePreferences } from "../preferences";
import { formatSearch, parseSearch, type Scope, type Search, scoped } from "./search";

export type UpdateSearch = (change: Partial<Search>, replace?: boolean) => void;

export function useSearch(scope: Scope | null): [Search, UpdateSearch] {
  const text = useQueryString();
  const { zone, columns } = usePreferences();
  const search = useMemo(() => scoped(parseSearch(text, { zone, columns }), scope), [text, zone, columns, scope]);
  const update = useCallback<UpdateSearch>(
    (change, replace = false) => {
      const next = scoped({ ...parseSearch(location.search, getPreferences()), record: "", ...change }, scope);
      // The scope is the page's, not the URL's.
      const written = scope ? { ...next, strategyId: "" } : next;
      navigate(location.pathname + formatSearch(written, getPreferences()), replace);
    },
    [scope],
  );
  return [search, update];
}

/** The time zone everything is shown in, and how to change it for good. */
export function useZone(): [string, (zone: string) => void] {
  const text = useQueryString();
  const { zone } = usePreferences();
  const given = new URLSearchParams(text).get("tz");
  const change = useCallback((next: string) => {
    prefer({ zone: next });
    const parameters = new URLSearchParams(location.search);
    if (!parameters.has("tz")) return;
    const search = { ...parseSearch(location.search, getPreferences()), zone: next };
    navigate(location.pathname + formatSearch(search, getPreferences()), true);
  }, []);
  return [given ?? zone, change];
}
