// The viewer: query, histogram, facets, list and drawer around one LogSession. With a scope it is the panel of a strategy.
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { countHits, type Facet, findFacets, type LogParameters } from "../api/client";
import { getPreferences, isDark, prefer, usePreferences } from "../preferences";
import { Help, openHelp } from "../ui/Help";
import { Icon } from "../ui/Icon";
import { ProblemPanel, sentence } from "../ui/ProblemPanel";
import { Chips } from "./Chips";
import { Drawer, type DrawerTab } from "./Drawer";
import { Empty } from "./Empty";
import { Facets, takesSeveral } from "./Facets";
import { Histogram } from "./Histogram";
import { FILL_ACTION, type Item, type RowItem } from "./items";
import { type ListHandle, LogList } from "./LogList";
import { LogSession } from "./LogSession";
import { type Filter, narrow, PARAMETER_FIELDS, sameFilter, searchTerms, splitPipes } from "./logsql";
import { LiveControls, QueryInput } from "./QueryBar";
import { RangeMenu } from "./RangeMenu";
import { StatusBar } from "./StatusBar";
import { formatSearch, parametersOf, parseReference, recordReference, type Scope, type Search } from "./search";
import { ColumnsMenu, DownloadMenu } from "./ToolMenus";
import { ageMs, rfc3339, spanText, type Window, windowOf, zoneOf } from "./time";
import { useSearch, useZone } from "./useSearch";
import { type Shortcuts, useShortcuts } from "./useShortcuts";
import { ViewsMenu } from "./ViewsMenu";

const FACET_FIELDS = ["level", "strategy_id", "source", "component", "container_name"];
const FACET_VALUES = 12;
/** How often a live page counts anew. */
const RECOUNT_MS = 10_000;
/** Pages that are loaded to reach the record a link points at. */
const LINK_PAGES = 20;
const FILLS: Filter = { field: "action", value: FILL_ACTION, not: false };
const ZONES = ["utc", "local", "America/New_York"];

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

function termsOf(q: string): RegExp | null {
  const terms = searchTerms(q).map((term) => term.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return terms.length > 0 ? new RegExp(`(${terms.join("|")})`, "i") : null;
}

export function LogViewer({ scope }: { scope: Scope | null }) {
  const [search, update] = useSearch(scope);
  const [zoneId, setZone] = useZone();
  const zone = zoneOf(zoneId);
  const preferences = usePreferences();
  const [session] = useState(() => new LogSession());
  const { stream } = session;
  const state = useSyncExternalStore(session.subscribe, session.getState);
  const [runs, setRuns] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  const list = useRef<ListHandle>(null);

  const [paused, setPaused] = useState(false);
  const [scrolled, setScrolled] = useState(false);
  const [active, setActive] = useState<Item | null>(null);
  const [tab, setTab] = useState<DrawerTab | null>(null);
  const [toast, setToast] = useState<{ text: string; link: string } | null>(null);

  // What is asked for, as text: a new run happens when it changes, not when an object is made anew.
  const { q, start, end, strategyId, filters, live } = search;
  // In a panel of one strategy every record would say the same.
  const columns = useMemo(
    () => (scope ? search.columns.filter((field) => field !== "strategy_id") : search.columns),
    [scope, search.columns],
  );
  const asked = JSON.stringify({ q, start, end, strategyId, filters, live, runs });
  useEffect(() => {
    const wanted = JSON.parse(asked) as Search;
    setActive(null);
    setTab(null);
    list.current?.scrollToTop();
    session.run(() => {
      const window = windowOf(wanted.start, wanted.end, Date.now());
      return { window, parameters: parametersOf(wanted, window) };
    }, wanted.live);
    return () => session.close();
  }, [asked, session]);

  // What is being read does not move.
  const held = paused || scrolled || active !== null;
  useEffect(() => stream.hold(held), [stream, held]);

  const window = useCountedWindow(state.window, live);
  const parameters = useMemo(() => {
    if (!window) return null;
    const { runs: _runs, ...wanted } = JSON.parse(asked) as Search & { runs: number };
    // Numbers are of what the filter finds, whatever pipes make of it.
    const [filter] = splitPipes(wanted.q);
    return parametersOf({ ...wanted, q: filter }, window);
  }, [asked, window]);
  const exported = window ? parametersOf(search, window) : {};
  const ready = state.phase === "ready" && parameters !== null;
  const hits = useQuery({
    queryKey: ["hits", parameters],
    queryFn: ({ signal }) => countHits(parameters ?? {}, signal),
    enabled: ready,
    placeholderData: keepPreviousData,
  });
  // Where a strategy traded, seen against where it complained.
  const fills = useQuery({
    queryKey: ["fills", parameters],
    queryFn: ({ signal }) => countHits({ ...parameters, q: narrow(parameters?.q ?? "*", [FILLS]) }, signal),
    enabled: ready && scope !== null && hits.isSuccess,
    placeholderData: keepPreviousData,
  });
  const fields = FACET_FIELDS.filter((field) => !(scope && field === "strategy_id")).join();
  const facets = useQuery({
    queryKey: ["facets", fields, parameters],
    queryFn: ({ signal }) => countFacets(parameters ?? {}, fields, !scope, signal),
    enabled: ready && preferences.sidebar,
    placeholderData: keepPreviousData,
  });
  const countedFrom = window?.startMs;
  useEffect(() => {
    if (live && countedFrom !== undefined) session.refreshLosses(countedFrom);
  }, [live, countedFrom, session]);

  const look = useMemo(
    () => ({ columns, zone, terms: termsOf(q), inline: preferences.inlineFields }),
    [columns, zone, q, preferences.inlineFields],
  );

  // ---- the record that a link points at
  const reference = parseReference(search.record);
  const wantedKey = reference?.key ?? null;
  const wantedTime = reference?.time ?? null;
  const pagesLeft = useRef(LINK_PAGES);
  useEffect(() => {
    if (!wantedKey || !wantedTime || state.phase !== "ready") return;
    const position = stream.positionOf(wantedKey);
    if (position >= 0) {
      setActive(stream.at(position) ?? null);
      setTab((now) => now ?? "record");
      // The list has its new height after this frame.
      requestAnimationFrame(() => list.current?.scrollTo(position));
    } else if (state.older === "idle" && pagesLeft.current > 0) {
      pagesLeft.current -= 1;
      void session.loadOlder();
    }
  }, [wantedKey, wantedTime, state.phase, state.older, stream, session]);

  // ---- changes of the search
  const change = useCallback((next: Partial<Search>) => update(next), [update]);

  function toggleFilter(filter: Filter) {
    if (filters.some((one) => sameFilter(one, filter))) {
      return change({ filters: filters.filter((one) => !sameFilter(one, filter)) });
    }
    if (filter.field === "strategy_id" && !filter.not) return change({ strategyId: filter.value });
    const others = filters.filter((one) => one.field !== filter.field || one.value !== filter.value);
    const kept =
      filter.not || takesSeveral(filter.field) ? others : others.filter((one) => one.field !== filter.field || one.not);
    change({ filters: [...kept, filter] });
  }

  function toggleFacet(field: string, value: string) {
    if (field === "strategy_id") return change({ strategyId: strategyId === value ? "" : value });
    toggleFilter({ field, value, not: false });
  }

  function setColumns(next: string[]) {
    if (new URLSearchParams(location.search).has("columns")) update({ columns: next }, true);
    else prefer({ columns: next });
  }

  function run(next: string) {
    if (next === q) setRuns((now) => now + 1);
    else change({ q: next });
  }

  function toggleLive() {
    setPaused(false);
    if (live) return change({ live: false });
    change({ live: true, end: "", start: ageMs(start) === null ? "15m" : start });
  }

  function zoomOut() {
    if (!state.window) return;
    const { startMs, endMs } = state.window;
    const span = Math.min((endMs - startMs) * 2, 24 * 3_600_000);
    const middle = (startMs + endMs) / 2;
    const until = Math.min(Date.now(), middle + span / 2);
    change({ start: rfc3339(until - span), end: rfc3339(until), live: false });
  }

  // ---- links
  function linkTo(item: Item | null): string {
    const fixed = { ...search, record: item?.kind === "row" ? recordReference(item.record._time, item.key) : "" };
    // While live the newest record shown may be younger than the query.
    const endMs = Math.max(state.window?.endMs ?? Date.now(), (stream.getState().newestMs ?? 0) + 1);
    if (state.window && (live || !search.end)) {
      fixed.start = rfc3339(live ? Math.min(state.window.startMs, endMs) : state.window.startMs);
      fixed.end = rfc3339(endMs);
    }
    const written = { ...fixed, live: false, zone: zoneId, strategyId: scope ? "" : fixed.strategyId };
    return location.origin + location.pathname + formatSearch(written, getPreferences(), true);
  }

  async function copyLink() {
    const link = linkTo(tab ? active : null);
    let text = "Copy this link:";
    try {
      await navigator.clipboard.writeText(link);
      text = "Link copied: it shows these records for as long as the store has them.";
    } catch {
      // Without TLS, or without permission, the browser keeps the clipboard to itself.
    }
    setToast({ text, link });
  }

  useEffect(() => {
    if (!toast) return;
    const timer = setTimeout(() => setToast(null), 6_000);
    return () => clearTimeout(timer);
  }, [toast]);

  // ---- reading
  function moveTo(position: number) {
    const length = stream.getState().length;
    if (length === 0) return;
    const next = Math.min(length - 1, Math.max(0, position));
    setActive(stream.at(next) ?? null);
    stream.hold(true);
    list.current?.scrollTo(next);
  }

  function move(by: number) {
    const now = active ? stream.positionOf(active.key) : -1;
    moveTo(now < 0 ? 0 : now + by);
  }

  function open(next: DrawerTab) {
    const item = active ?? stream.at(0);
    if (item?.kind === "skipped") return fill(item.key);
    if (item?.kind !== "row") return;
    setActive(item);
    setTab(next);
  }

  function close() {
    if (tab) setTab(null);
    else setActive(null);
    list.current?.focus();
  }

  function fill(key: string) {
    const item = stream.at(stream.positionOf(key));
    if (item?.kind === "skipped") void session.fill(item);
  }

  function showNew() {
    setPaused(false);
    setScrolled(false);
    setActive(null);
    setTab(null);
    stream.hold(false);
    list.current?.scrollToTop();
    list.current?.focus();
  }

  function onListKey(event: KeyboardEvent) {
    const page = list.current?.pageSize() ?? 20;
    const moves: Shortcuts = [
      ["ArrowDown", () => move(1)],
      ["ArrowUp", () => move(-1)],
      ["PageDown", () => move(page)],
      ["PageUp", () => move(-page)],
      ["Home", () => moveTo(0)],
      ["End", () => moveTo(Number.POSITIVE_INFINITY)],
      ["Enter", () => open("record")],
    ];
    const run = moves.find(([key]) => key === event.key)?.[1];
    if (!run || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    run();
  }

  useShortcuts([
    ["/", () => input.current?.focus()],
    ["r", () => setRuns((now) => now + 1)],
    ["l", toggleLive],
    [" ", () => live && setPaused((now) => !now)],
    ["t", () => setZone(ZONES[(ZONES.indexOf(zoneId) + 1) % ZONES.length] ?? "utc")],
    ["j", () => move(1)],
    ["k", () => move(-1)],
    ["g", () => moveTo(0)],
    ["G", () => moveTo(Number.POSITIVE_INFINITY)],
    ["e", () => open("record")],
    ["Enter", () => open("record")],
    ["c", () => open("context")],
    ["y", () => void copyLink()],
    ["z", zoomOut],
    ["f", () => prefer({ sidebar: !preferences.sidebar })],
    ["d", () => prefer({ theme: isDark() ? "light" : "dark" })],
    ["?", openHelp],
    ["Escape", close],
  ]);

  const narrowed = filters.length > 0 || (strategyId !== "" && !scope);
  const clear = () => change({ filters: [], strategyId: "" });
  const chosenLevels = filters.filter((one) => one.field === "level" && !one.not).map((one) => one.value);

  return (
    <div className={tab ? "viewer viewer-open" : "viewer"}>
      <div className="toolbar">
        <QueryInput q={q} input={input} onRun={run} />
        <RangeMenu
          search={search}
          window={state.window}
          zone={zone}
          onChange={(range) => change({ ...range, live: !range.end })}
        />
        <LiveControls
          live={live}
          paused={paused}
          tail={state.tail}
          onLive={toggleLive}
          onPause={() => setPaused((now) => !now)}
        />
        <span className="toolbar-space" />
        <ViewsMenu search={search} onOpen={(next) => change(next)} />
        <ColumnsMenu columns={columns} seen={seenFields(stream.at(0), active)} onChange={setColumns} />
        <DownloadMenu parameters={exported} columns={columns} />
        <button
          type="button"
          className="button"
          title="Copy a link to what is shown (y)"
          onClick={() => void copyLink()}
        >
          <Icon name="link" />
          <span className="button-text">Link</span>
        </button>
      </div>
      <Chips
        search={search}
        scope={scope}
        onRemove={toggleFilter}
        onFlip={(filter) =>
          change({ filters: filters.map((one) => (sameFilter(one, filter) ? { ...one, not: !one.not } : one)) })
        }
        onLeaveStrategy={() => change({ strategyId: "" })}
        onClear={clear}
      />
      <Histogram
        hits={hits.data}
        fills={scope ? (fills.data?.buckets ?? []) : null}
        window={window}
        zone={zone}
        gaps={state.gaps}
        levels={chosenLevels}
        onZoom={({ startMs, endMs }) => change({ start: rfc3339(startMs), end: rfc3339(endMs), live: false })}
        onLevel={(level) => toggleFacet("level", level)}
      />
      <div className="panes">
        {preferences.sidebar && (
          <Facets
            facets={facets.data}
            failed={facets.isError || state.phase === "failed"}
            search={search}
            fixed={scope ? ["strategy_id"] : []}
            onToggle={toggleFacet}
          />
        )}
        <div className="list-pane">
          <LogList
            stream={stream}
            look={look}
            activeKey={active?.key ?? null}
            handle={list}
            still={!live || held}
            busy={state.phase === "loading"}
            foot={<Foot older={state.older} phase={state.phase} onLoad={() => void session.loadOlder()} />}
            onScrolled={setScrolled}
            onNearEnd={useCallback(() => void session.loadOlder(), [session])}
            onPick={(item) => {
              if (item.kind === "skipped") return;
              setActive(item);
              if (item.kind === "row") setTab((now) => now ?? "record");
            }}
            onFill={fill}
            onKey={onListKey}
          />
          <NewPill session={session} onShow={showNew} />
          <Middle
            session={session}
            onRetry={() => setRuns((now) => now + 1)}
            empty={
              <Empty
                search={search}
                narrowed={narrowed}
                onWiden={() => change({ start: "24h", end: "", live: true })}
                onClear={clear}
                onClearQuery={() => change({ q: "" })}
              />
            }
          />
        </div>
        {tab && active?.kind === "row" && (
          <Drawer
            item={active as RowItem}
            tab={tab}
            zone={zone}
            scope={scope}
            columns={columns}
            onTab={setTab}
            onClose={close}
            onFilter={toggleFilter}
            onColumn={(field) =>
              setColumns(columns.includes(field) ? columns.filter((one) => one !== field) : [...columns, field])
            }
            onLink={() => void copyLink()}
            onOnly={(only) => change({ q: only })}
          />
        )}
      </div>
      {/* Below the list: what is being read stays where it is. */}
      <Notices
        state={state}
        live={live}
        onRun={() => setRuns((now) => now + 1)}
        hasRows={stream.getState().length > 0}
      />
      <StatusBar session={session} live={live} paused={paused} />
      {toast && (
        <div className="toast" role="status">
          <span>{toast.text}</span>
          <input readOnly value={toast.link} aria-label="Link" onFocus={(event) => event.target.select()} />
          <button type="button" className="button button-bare" aria-label="Close" onClick={() => setToast(null)}>
            <Icon name="close" />
          </button>
        </div>
      )}
      <Help />
    </div>
  );
}

function seenFields(...items: (Item | null | undefined)[]): string[] {
  const names = items.flatMap((item) => (item?.kind === "row" ? Object.keys(item.record) : []));
  return [...new Set(names)].filter((name) => !name.startsWith("_") && name !== "level").sort();
}

const CLAMPED: Record<string, string> = {
  range: "The range was cut",
  field_bytes: "Long fields were cut",
  response_bytes: "The answer was cut for its size: narrow the range to see the rest",
};

function Notices({
  state,
  live,
  onRun,
  hasRows,
}: {
  state: ReturnType<LogSession["getState"]>;
  live: boolean;
  onRun: () => void;
  hasRows: boolean;
}) {
  return (
    <div className="notices">
      {state.phase === "failed" && state.problem && hasRows && (
        <ProblemPanel inline problem={state.problem} onRetry={onRun} />
      )}
      {live && state.tailProblem && state.phase === "ready" && (
        <p className="notice" role="status">
          <Icon name="warn" />
          {state.tail === "polling" ? "Live by a look every 5 s. " : "Live is waiting. "}
          {sentence(state.tailProblem.detail || state.tailProblem.title)} {sentence(state.tailProblem.hint)}
        </p>
      )}
      {state.clamped.map((one) => (
        <p className="notice" key={one.what}>
          {CLAMPED[one.what] ?? one.what}
          {one.what === "range" && `: ${spanText(one.given)} of ${spanText(one.asked)} are shown`}.
        </p>
      ))}
    </div>
  );
}

/** What stands in place of the list while it has nothing to show. */
function Middle({ session, onRetry, empty }: { session: LogSession; onRetry: () => void; empty: React.ReactNode }) {
  const { phase, problem } = useSyncExternalStore(session.subscribe, session.getState);
  const { length, waiting } = useSyncExternalStore(session.stream.subscribe, session.stream.getState);
  if (length > 0 || waiting > 0) return null;
  if (phase === "failed" && problem) {
    return (
      <div className="middle">
        <ProblemPanel problem={problem} onRetry={onRetry} />
      </div>
    );
  }
  if (phase === "ready") return <div className="middle">{empty}</div>;
  return null;
}

const whole = new Intl.NumberFormat("en");

function NewPill({ session, onShow }: { session: LogSession; onShow: () => void }) {
  const { waiting } = useSyncExternalStore(session.stream.subscribe, session.stream.getState);
  if (waiting === 0) return null;
  return (
    <button type="button" className="new-pill" onClick={onShow}>
      <Icon name="up" />
      {whole.format(waiting)} new
    </button>
  );
}

interface FootProps {
  older: ReturnType<LogSession["getState"]>["older"];
  phase: string;
  onLoad: () => void;
}

function Foot({ older, phase, onLoad }: FootProps) {
  if (phase !== "ready") return <span className="muted">{phase === "loading" ? "Searching …" : ""}</span>;
  if (older === "none") return <span className="muted">No older records in this range.</span>;
  if (older === "full")
    return <span className="muted">100,000 records are held. Narrow the range, or download the rest.</span>;
  if (older === "failed") {
    return (
      <button type="button" className="link-button" onClick={onLoad}>
        Older records could not be loaded. Try again
      </button>
    );
  }
  return <span className="muted">Loading older records …</span>;
}
