// Records over time by level. Drag over it, or use the arrow keys, to choose a range.
import { type KeyboardEvent, type PointerEvent, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { Bucket, Gap, HitsAnswer } from "../api/client";
import { barsOf, countsOf, highest, msAt, ticksOf, xOf } from "./histogram";
import { LEVELS, type Level } from "./items";
import { LevelMark } from "./Level";
import { shortClockText, type Window, type Zone } from "./time";

const HEIGHT_PX = 64;
const AXIS_PX = 19;
/** A shorter drag is a click. */
const DRAG_PX = 4;

interface HistogramProps {
  hits: HitsAnswer | undefined;
  /** Buckets of fills, in the panel of a strategy. */
  fills: readonly Bucket[] | null;
  window: Window | null;
  zone: Zone;
  gaps: readonly Gap[];
  levels: readonly string[];
  onZoom: (window: Window) => void;
  onLevel: (level: Level) => void;
}

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** Half a label, which would be cut off at the edge. */
const LABEL_PX = 24;

function fits(x: number, width: number): boolean {
  return x > LABEL_PX && x < width - LABEL_PX;
}

function bucketText(bucket: Bucket, stepMs: number, zone: Zone): string {
  const startMs = Date.parse(bucket.start);
  const counts = LEVELS.filter((level) => bucket.levels[level]).map(
    (level) => `${level} ${whole.format(bucket.levels[level] ?? 0)}`,
  );
  return `${shortClockText(startMs, zone)} – ${shortClockText(startMs + stepMs, zone)}: ${counts.join(", ") || "no records"}`;
}

export function Histogram({ hits, fills, window: asked, zone, gaps, levels, onZoom, onLevel }: HistogramProps) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(900);
  const [cursor, setCursor] = useState<number | null>(null);
  const [brush, setBrush] = useState<{ from: number; to: number } | null>(null);
  const dragging = useRef(false);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    setWidth(element.clientWidth);
    return () => observer.disconnect();
  }, []);

  const stepMs = (hits?.step_seconds ?? 60) * 1_000;
  const buckets = useMemo(() => hits?.buckets ?? [], [hits]);
  const window = useMemo<Window | null>(() => {
    if (!hits) return asked;
    const [startMs, endMs] = [Date.parse(hits.applied.start), Date.parse(hits.applied.end)];
    return Number.isNaN(startMs) || Number.isNaN(endMs) || endMs <= startMs ? asked : { startMs, endMs };
  }, [hits, asked]);
  const bars = useMemo(
    () => (window ? barsOf(buckets, stepMs, window, width, HEIGHT_PX) : []),
    [buckets, stepMs, window, width],
  );
  const counts = useMemo(() => countsOf(buckets), [buckets]);
  const total = LEVELS.reduce((sum, level) => sum + counts[level], 0);

  const filled = fills?.reduce((sum, bucket) => sum + bucket.total, 0) ?? 0;

  function bucketAt(ms: number): number {
    return buckets.findIndex((bucket) => {
      const startMs = Date.parse(bucket.start);
      return startMs <= ms && ms < startMs + stepMs;
    });
  }

  function edges(index: number): [number, number] {
    const startMs = Date.parse(buckets[index]?.start ?? "");
    return [startMs, startMs + stepMs];
  }

  function zoom(from: number, to: number) {
    setBrush(null);
    setCursor(null);
    const [startMs, endMs] = [Math.min(from, to), Math.max(from, to)];
    if (endMs - startMs >= 1_000) onZoom({ startMs: Math.floor(startMs), endMs: Math.ceil(endMs) });
  }

  function x(event: PointerEvent): number {
    return event.clientX - (box.current?.getBoundingClientRect().left ?? 0);
  }

  function onPointerDown(event: PointerEvent) {
    if (!window || event.button !== 0) return;
    box.current?.setPointerCapture(event.pointerId);
    dragging.current = true;
    const ms = msAt(x(event), window, width);
    setBrush({ from: ms, to: ms });
  }

  function onPointerMove(event: PointerEvent) {
    if (!window) return;
    const ms = msAt(x(event), window, width);
    const index = bucketAt(ms);
    setCursor(index < 0 ? null : index);
    if (dragging.current && brush) setBrush({ from: brush.from, to: ms });
  }

  function onPointerUp() {
    if (!dragging.current || !window || !brush) return;
    dragging.current = false;
    const dragged = Math.abs(xOf(brush.to, window, width) - xOf(brush.from, window, width));
    if (dragged >= DRAG_PX) zoom(brush.from, brush.to);
    else if (cursor !== null) zoom(...edges(cursor));
    else setBrush(null);
  }

  function onKeyDown(event: KeyboardEvent) {
    if (event.key === "Escape" && (brush || cursor !== null)) {
      event.stopPropagation();
      setBrush(null);
      setCursor(null);
    } else if (event.key === "Enter" && cursor !== null) {
      if (brush) zoom(brush.from, brush.to);
      else zoom(...edges(cursor));
    } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const step = event.key === "ArrowLeft" ? -1 : 1;
      const next = Math.min(buckets.length - 1, Math.max(0, cursor === null ? buckets.length - 1 : cursor + step));
      if (buckets.length === 0) return;
      if (event.shiftKey) {
        const from = brush?.from ?? edges(cursor ?? next)[step < 0 ? 1 : 0];
        setBrush({ from, to: edges(next)[step < 0 ? 0 : 1] });
      } else setBrush(null);
      setCursor(next);
    } else return;
    event.preventDefault();
  }

  const chosen =
    brush && window
      ? [xOf(Math.min(brush.from, brush.to), window, width), xOf(Math.max(brush.from, brush.to), window, width)]
      : null;
  const hovered = cursor === null ? undefined : buckets[cursor];
  let caption = hits ? `${whole.format(total)} records` : "";
  if (hovered) caption = bucketText(hovered, stepMs, zone);

  return (
    <section className="histogram" aria-label="Records over time">
      <div className="histogram-head">
        <fieldset className="legend">
          <legend className="hidden">Show only these levels</legend>
          {LEVELS.map((level) => (
            <button
              type="button"
              key={level}
              className="legend-item"
              aria-pressed={levels.includes(level)}
              title={levels.includes(level) ? `Show other levels too` : `Show only ${level}`}
              onClick={() => onLevel(level)}
            >
              <LevelMark level={level} />
              <span className={counts[level] ? "number" : "number muted"}>
                {hits ? compact.format(counts[level]) : "–"}
              </span>
            </button>
          ))}
        </fieldset>
        {fills && (
          <span className="legend-fills">
            <span className="fill-mark" aria-hidden="true">
              ◆
            </span>
            <span className="number">{compact.format(filled)}</span> fills
          </span>
        )}
        <span className="histogram-caption" aria-live="polite">
          {caption}
        </span>
      </div>
      <div
        ref={box}
        className="histogram-plot"
        role="application"
        aria-roledescription="histogram"
        aria-label={`${whole.format(total)} records, at most ${whole.format(highest(buckets))} in ${stepMs / 1_000} seconds. Arrow keys move, with Shift they select, Enter zooms.`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it is interactive, see role and keys
        tabIndex={0}
        onPointerDown={onPointerDown}
        onPointerMove={onPointerMove}
        onPointerUp={onPointerUp}
        onPointerLeave={() => !dragging.current && setCursor(null)}
        onKeyDown={onKeyDown}
        onBlur={() => setCursor(null)}
      >
        <svg width={width} height={HEIGHT_PX + AXIS_PX} aria-hidden="true">
          <line className="grid-line" x1="0" x2={width} y1="0.5" y2="0.5" />
          <line className="base-line" x1="0" x2={width} y1={HEIGHT_PX + 0.5} y2={HEIGHT_PX + 0.5} />
          {hovered && window && (
            <rect
              className="cursor"
              x={xOf(Date.parse(hovered.start), window, width)}
              width={Math.max(1, (stepMs / (window.endMs - window.startMs)) * width)}
              y="0"
              height={HEIGHT_PX}
            />
          )}
          {bars.map((bar) => (
            <rect
              key={`${bar.x}:${bar.level}`}
              className={`bar bar-${bar.level}`}
              x={bar.x}
              y={bar.y}
              width={bar.width}
              height={bar.height}
            />
          ))}
          {window &&
            fills?.map((bucket) => {
              const at = xOf(Date.parse(bucket.start) + stepMs / 2, window, width);
              if (bucket.total === 0 || at < 0 || at > width) return null;
              return (
                <path key={bucket.start} className="fill-diamond" d={`M${at} ${HEIGHT_PX + 1}l3 3l-3 3l-3 -3z`}>
                  <title>{`${whole.format(bucket.total)} fills`}</title>
                </path>
              );
            })}
          {window &&
            gaps.map((gap) => {
              const at = xOf(Date.parse(gap.time), window, width);
              if (at < 0 || at > width) return null;
              return (
                <path
                  key={`${gap.boot}:${gap.first_seq}:${gap.reason}`}
                  className="gap-mark"
                  d={`M${at - 4} 0h8l-4 7z`}
                >
                  <title>{`${whole.format(gap.count)} lost in the trading process`}</title>
                </path>
              );
            })}
          {window &&
            ticksOf(window, width, zone.offsetMs(window.endMs)).map((ms) => (
              <g key={ms} transform={`translate(${xOf(ms, window, width)} 0)`}>
                <line className="tick" y1={HEIGHT_PX} y2={HEIGHT_PX + 4} />
                {fits(xOf(ms, window, width), width) && (
                  <text className="tick-text" y={HEIGHT_PX + 17}>
                    {shortClockText(ms, zone)}
                  </text>
                )}
              </g>
            ))}
          <text className="scale-text" x="2" y="11">
            {total > 0 ? compact.format(highest(buckets)) : ""}
          </text>
          {chosen && (
            <rect
              className="brush"
              x={chosen[0]}
              width={Math.max(1, (chosen[1] ?? 0) - (chosen[0] ?? 0))}
              y="0"
              height={HEIGHT_PX}
            />
          )}
        </svg>
      </div>
    </section>
  );
}
