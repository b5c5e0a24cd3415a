// The numbers around the list: hits over time, values of facets, fills, losses. They follow the list, never hold it up.
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { countHits, type Facet, findFacets, type HitsAnswer, type LogParameters } from "../api/client";
import { FILL_ACTION } from "./items";
import type { LogSession } from "./LogSession";
import { type Filter, narrow, PARAMETER_FIELDS, splitPipes } from "./logsql";
import { parametersOf, type Scope, type Search } from "./search";
import type { Window } from "./time";

const FACET_FIELDS = ["level", "strategy_id", "source", "component", "container_name"];
const FACET_VALUES = 12;
/** How often a live page counts anew. */
const RECOUNT_MS = 10_000;
const FILLS: Filter = { field: "action", value: FILL_ACTION, not: false };

export interface Counts {
  /** What was counted in; null before the first search. */
  window: Window | null;
  hits: HitsAnswer | undefined;
  /** Only in the panel of a strategy. */
  fills: HitsAnswer | undefined;
  facets: { values: Facet[] | undefined; failed: boolean };
}

/** The numbers of a live page move on with the clock; those of a fixed range stand. */
function useCountedWindow(window: Window | null, live: boolean): Window | null {
  const [now, setNow] = useState<number | null>(null);
  useEffect(() => {
    setNow(null);
    if (!live || !window) return;
    const timer = setInterval(() => document.hidden || setNow(Date.now()), RECOUNT_MS);
    return () => clearInterval(timer);
  }, [live, window]);
  return useMemo(() => {
    if (!window || now === null) return window;
    return { startMs: window.startMs + (now - window.endMs), endMs: now };
  }, [window, now]);
}

/** Values of each field among what the other filters leave: what was not chosen of a field can be chosen, too. */
async function countFacets(
  parameters: LogParameters,
  fields: string,
  free: boolean,
  signal: AbortSignal,
): Promise<Facet[]> {
  const { facets } = await findFacets({ ...parameters, fields, limit: FACET_VALUES }, signal);
  const counted = new Map(facets.map((facet) => [facet.field, facet]));
  const chosen = free && parameters.strategy_id ? ["strategy_id" as const] : [];
  for (const field of [...PARAMETER_FIELDS, ...chosen]) {
    if (!parameters[field]) continue;
    const { [field]: _own, ...others } = parameters;
    const wider = await findFacets({ ...others, fields: field, limit: FACET_VALUES }, signal);
    for (const facet of wider.facets) counted.set(facet.field, facet);
  }
  return [...counted.values()];
}

/** Numbers for what `session` shows of `search`. */
export function useCounts(session: LogSession, search: Search, scope: Scope | null, withFacets: boolean): Counts {
  const state = useSyncExternalStore(session.subscribe, session.getState);
  const { q, strategyId, filters, live } = search;
  const window = useCountedWindow(state.window, live);

  const asked = JSON.stringify({ q, strategyId, filters });
  const parameters = useMemo(() => {
    const wanted = JSON.parse(asked) as Pick<Search, "q" | "strategyId" | "filters">;
    // Numbers are of what the filter finds, whatever pipes make of it.
    return window && parametersOf({ ...wanted, q: splitPipes(wanted.q)[0] }, window);
  }, [asked, window]);
  const enabled = state.phase === "ready" && parameters !== null;

  const hits = useQuery({
    queryKey: ["hits", parameters],
    queryFn: ({ signal }) => countHits(parameters ?? {}, signal),
    enabled,
    placeholderData: keepPreviousData,
  });
  // Where a strategy traded, seen against where it complained.
  const fills = useQuery({
    queryKey: ["fills", parameters],
    queryFn: ({ signal }) => countHits({ ...parameters, q: narrow(parameters?.q ?? "*", [FILLS]) }, signal),
    enabled: enabled && scope !== null && hits.isSuccess,
    placeholderData: keepPreviousData,
  });
  const fields = FACET_FIELDS.filter((field) => !(scope && field === "strategy_id")).join();
  const facets = useQuery({
    queryKey: ["facets", fields, parameters],
    queryFn: ({ signal }) => countFacets(parameters ?? {}, fields, !scope, signal),
    enabled: enabled && withFacets,
    placeholderData: keepPreviousData,
  });

  const countedFrom = window?.startMs;
  useEffect(() => {
    if (live && countedFrom !== undefined) session.refreshLosses(countedFrom);
  }, [live, countedFrom, session]);

  return {
    window,
    hits: hits.data,
    fills: fills.data,
    facets: { values: facets.data, failed: facets.isError || state.phase === "failed" },
  };
}
