// The bottom line: what is held, how fast it came, and whether anything was lost.
import { useEffect, useSyncExternalStore } from "react";
import type { TailMode } from "./LiveTail";
import type { LogSession } from "./LogSession";

const MODES: Record<TailMode, string> = {
  off: "waiting",
  connecting: "waiting",
  streaming: "streaming",
  polling: "every 5 s",
  failing: "waiting",
};

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export function StatusBar({ session, live, paused }: { session: LogSession; live: boolean; paused: boolean }) {
  const { tookMs, lost, tail } = useSyncExternalStore(session.subscribe, session.getState);
  const { rows, rate, held } = useSyncExternalStore(session.stream.subscribe, session.stream.getState);

  useEffect(() => {
    if (!live) return;
    const timer = setInterval(() => session.stream.tick(), 1_000);
    return () => clearInterval(timer);
  }, [live, session]);

  return (
    <footer className="status">
      <span className="status-item">
        <b className="number">{whole.format(rows)}</b> records held
      </span>
      {tookMs !== null && <span className="status-item">answered in {Math.round(tookMs)} ms</span>}
      {lost === 0 && <span className="status-item status-good">✓ none lost in the trading process</span>}
      {lost !== null && lost > 0 && (
        <strong className="status-item status-lost">{whole.format(lost)} lost in the trading process</strong>
      )}
      <span className="toolbar-space" />
      {live && (
        <span className="status-item">
          {paused ? "paused" : held ? "held while you read" : MODES[tail]}
          <span className="number status-rate">{(rate < 10 ? tenths : whole).format(rate)}/s</span>
        </span>
      )}
      <span className="status-item muted">
        <kbd>?</kbd> keys
      </span>
    </footer>
  );
}
