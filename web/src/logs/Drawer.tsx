// One record in full, and what happened around it.
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { contextOf, type LogRecord } from "../api/client";
import { asProblem } from "../api/problem";
import { Icon } from "../ui/Icon";
import { ProblemPanel } from "../ui/ProblemPanel";
import { fieldText, keyOf, levelOf, type RowItem } from "./items";
import { LevelMark } from "./Level";
import type { Filter } from "./logsql";
import type { Scope } from "./search";
import { clockText, exactText, type Zone } from "./time";

export type DrawerTab = "record" | "context";

const CONTEXT_STEP = 20;
const CONTEXT_MOST = 100;
const BLOCKS = ["error_traceback", "stack_info"];
const HIDDEN = new Set(["_time", "_msg", "_stream", "_stream_id", ...BLOCKS]);
const FIRST = [
  "level",
  "strategy_id",
  "component",
  "source",
  "container_name",
  "action",
  "instrument",
  "order_id",
  "side",
  "quantity",
  "price",
];

interface DrawerProps {
  item: RowItem;
  tab: DrawerTab;
  zone: Zone;
  scope: Scope | null;
  columns: readonly string[];
  onTab: (tab: DrawerTab) => void;
  onClose: () => void;
  onFilter: (filter: Filter) => void;
  onColumn: (field: string) => void;
  onLink: () => void;
  onOnly: (q: string) => void;
}

function CopyButton({ text, name }: { text: string; name: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1_500);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <button
      type="button"
      className="button button-bare"
      aria-label={copied ? "Copied" : name}
      title={copied ? "Copied" : name}
      onClick={() => void navigator.clipboard?.writeText(text).then(() => setCopied(true))}
    >
      {copied ? "✓" : <Icon name="copy" />}
    </button>
  );
}

function fieldsOf(record: LogRecord): [string, string][] {
  const rank = (name: string) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return Object.entries(record)
    .filter(([name]) => !HIDDEN.has(name))
    .map(([name, value]): [string, string] => [name, fieldText(value)])
    .sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
}

function RecordTab({ item, zone, scope, columns, onFilter, onColumn, onOnly }: DrawerProps) {
  const { record } = item;
  const orderId = fieldText(record.order_id);
  return (
    <>
      <div className="record-head">
        <LevelMark level={levelOf(record)} />
        <span className="mono record-time">{exactText(item, zone)}</span>
        <CopyButton text={JSON.stringify(record, null, 2)} name="Copy as JSON" />
      </div>
      <pre className="record-message">{fieldText(record._msg)}</pre>
      {BLOCKS.map((name) => {
        const block = fieldText(record[name]);
        return (
          block && (
            // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard has to reach it
            <pre className="record-block" key={name} tabIndex={0} role="group" aria-label={name}>
              {block}
            </pre>
          )
        );
      })}
      {orderId && (
        <button
          type="button"
          className="button record-order"
          onClick={() => onOnly(`order_id:="${orderId.replaceAll('"', '\\"')}"`)}
        >
          <Icon name="filter" /> Everything about this order
        </button>
      )}
      <table className="fields" aria-label="Fields">
        <tbody>
          {fieldsOf(record).map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td className="field-value">{value}</td>
              <td className="field-tools">
                {!(scope && name === "strategy_id") && (
                  <>
                    <button
                      type="button"
                      aria-label={`Only ${name} = ${value}`}
                      title="Only these"
                      onClick={() => onFilter({ field: name, value, not: false })}
                    >
                      <Icon name="plus" />
                    </button>
                    <button
                      type="button"
                      aria-label={`Leave out ${name} = ${value}`}
                      title="Leave these out"
                      onClick={() => onFilter({ field: name, value, not: true })}
                    >
                      <Icon name="minus" />
                    </button>
                  </>
                )}
                <button
                  type="button"
                  aria-label={`Column ${name}`}
                  aria-pressed={columns.includes(name)}
                  title="As a column"
                  onClick={() => onColumn(name)}
                >
                  <Icon name="columns" />
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function ContextTab({ item, zone, scope }: Pick<DrawerProps, "item" | "zone" | "scope">) {
  const [counts, setCounts] = useState({ before: CONTEXT_STEP, after: CONTEXT_STEP });
  const [sameLevel, setSameLevel] = useState(false);
  const anchor = useRef<HTMLLIElement>(null);
  const place = {
    time: item.record._time,
    stream_id: item.record._stream_id ?? "",
    ...counts,
    within: sameLevel ? ("stream" as const) : ("origin" as const),
    ...(scope ? { strategy_id: scope.strategyId } : {}),
  };
  const { data, error, refetch, isFetching } = useQuery({
    queryKey: ["context", place],
    queryFn: ({ signal }) => contextOf(place, signal),
    enabled: place.stream_id !== "",
    placeholderData: keepPreviousData,
  });

  useEffect(() => {
    // `scrollIntoView` would move the whole page, too.
    const box = anchor.current?.closest(".drawer-body");
    if (data && box && anchor.current) box.scrollTop = anchor.current.offsetTop - box.clientHeight / 2;
  }, [data]);

  if (!place.stream_id) return <p className="muted">This record names no stream, so nothing can be found around it.</p>;
  if (error && !data) return <ProblemPanel problem={asProblem(error)} onRetry={() => void refetch()} />;
  if (!data) return <p className="muted">Looking …</p>;
  const more = (side: "before" | "after") => setCounts((now) => ({ ...now, [side]: now[side] + CONTEXT_STEP }));
  return (
    <div className="context" aria-busy={isFetching}>
      <p className="muted">Same strategy, source and container, oldest first.</p>
      <label className="check">
        <input type="checkbox" checked={sameLevel} onChange={(event) => setSameLevel(event.target.checked)} />
        Only the same level
      </label>
      <button type="button" className="button" disabled={counts.before >= CONTEXT_MOST} onClick={() => more("before")}>
        <Icon name="up" /> {CONTEXT_STEP} earlier
      </button>
      <ol className="context-rows">
        {data.rows.map((record, index) => (
          <li
            key={keyOf(record)}
            className={index === data.anchor ? "context-row context-anchor" : "context-row"}
            ref={index === data.anchor ? anchor : undefined}
            aria-current={index === data.anchor ? "true" : undefined}
          >
            <span className="cell-time">{clockText(Date.parse(record._time), zone)}</span>
            <LevelMark level={levelOf(record)} />
            <span className="context-message">{fieldText(record._msg)}</span>
          </li>
        ))}
      </ol>
      <button type="button" className="button" disabled={counts.after >= CONTEXT_MOST} onClick={() => more("after")}>
        <Icon name="down" /> {CONTEXT_STEP} later
      </button>
    </div>
  );
}

const TABS: readonly (readonly [DrawerTab, string])[] = [
  ["record", "Record"],
  ["context", "Context"],
];

export function Drawer(props: DrawerProps) {
  const { item, tab, onTab, onClose, onLink } = props;

  function onTabKey(event: KeyboardEvent) {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const next = tab === "record" ? "context" : "record";
    onTab(next);
    document.getElementById(`tab-${next}`)?.focus();
  }

  return (
    <aside className="drawer" aria-label="Record">
      <div className="drawer-head">
        <div role="tablist" aria-label="Record" onKeyDown={onTabKey}>
          {TABS.map(([id, label]) => (
            <button
              type="button"
              role="tab"
              key={id}
              id={`tab-${id}`}
              aria-selected={tab === id}
              aria-controls="drawer-panel"
              tabIndex={tab === id ? 0 : -1}
              onClick={() => onTab(id)}
            >
              {label}
            </button>
          ))}
        </div>
        <button
          type="button"
          className="button button-bare"
          aria-label="Copy a link to this record"
          title="Copy a link to this record (y)"
          onClick={onLink}
        >
          <Icon name="link" />
        </button>
        <button
          type="button"
          className="button button-bare"
          aria-label="Close the record"
          title="Close (Esc)"
          onClick={onClose}
        >
          <Icon name="close" />
        </button>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard has to reach it */}
      <div className="drawer-body" role="tabpanel" id="drawer-panel" aria-labelledby={`tab-${tab}`} tabIndex={0}>
        {tab === "record" ? <RecordTab {...props} /> : <ContextTab {...props} key={item.key} />}
      </div>
    </aside>
  );
}
