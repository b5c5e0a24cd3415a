// The viewer: query, histogram, facets, list and drawer around one LogSession. With a scope it is the panel of a strategy.
import { type KeyboardEvent, useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { isDark, prefer, usePreferences } from "../preferences";
import { Help, openHelp } from "../ui/Help";
import { Icon } from "../ui/Icon";
import { Chips } from "./Chips";
import { Drawer, type DrawerTab } from "./Drawer";
import { Empty } from "./Empty";
import { Facets } from "./Facets";
import { Histogram } from "./Histogram";
import type { Item } from "./items";
import { Foot, Middle, NewPill, Notices } from "./ListStates";
import { type ListHandle, LogList } from "./LogList";
import { LogSession } from "./LogSession";
import { type Filter, sameFilter, searchTerms, toggled } from "./logsql";
import { LiveControls, QueryInput } from "./QueryBar";
import { RangeMenu } from "./RangeMenu";
import { StatusBar } from "./StatusBar";
import { MAX_RANGE_HOURS, parametersOf, type Scope, type Search } from "./search";
import { ColumnsMenu, DownloadMenu } from "./ToolMenus";
import { ageMs, rfc3339, windowOf, zoneOf } from "./time";
import { useCounts } from "./useCounts";
import { useLink } from "./useLink";
import { useLinkedRecord } from "./useLinkedRecord";
import { useSearch, useZone } from "./useSearch";
import { type Shortcuts, useShortcuts } from "./useShortcuts";
import { ViewsMenu } from "./ViewsMenu";

const ZONES = ["utc", "local", "America/New_York"];

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

  const { window, hits, fills, facets } = useCounts(session, search, scope, preferences.sidebar);
  const exported = window ? parametersOf(search, window) : {};

  const look = useMemo(
    () => ({ columns, zone, terms: termsOf(q), inline: preferences.inlineFields }),
    [columns, zone, q, preferences.inlineFields],
  );

  useLinkedRecord(session, search.record, (item, position) => {
    setActive(item);
    setTab("record");
    // The list has its new height after this frame.
    requestAnimationFrame(() => list.current?.scrollTo(position));
  });

  // ---- changes of the search
  const change = useCallback((next: Partial<Search>) => update(next), [update]);

  function toggleFilter(filter: Filter) {
    if (filter.field === "strategy_id" && !filter.not) change({ strategyId: filter.value });
    else change({ filters: toggled(filters, filter) });
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
    const span = Math.min((endMs - startMs) * 2, MAX_RANGE_HOURS * 3_600_000);
    const middle = (startMs + endMs) / 2;
    const until = Math.min(Date.now(), middle + span / 2);
    change({ start: rfc3339(until - span), end: rfc3339(until), live: false });
  }

  const [copy, toast] = useLink(session, search, scope);
  const copyLink = () => copy(tab ? active : null);

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
    ["y", () => copyLink()],
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
        <button type="button" className="button" title="Copy a link to what is shown (y)" onClick={() => copyLink()}>
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
        hits={hits}
        fills={scope ? (fills?.buckets ?? []) : null}
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
            facets={facets.values}
            failed={facets.failed}
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
            item={active}
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
            onLink={() => copyLink()}
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
      {toast}
      <Help />
    </div>
  );
}

function seenFields(...items: (Item | null | undefined)[]): string[] {
  const names = items.flatMap((item) => (item?.kind === "row" ? Object.keys(item.record) : []));
  return [...new Set(names)].filter((name) => !name.startsWith("_") && name !== "level").sort();
}
