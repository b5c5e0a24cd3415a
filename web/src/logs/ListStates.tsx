// What stands around and in place of the records: notices, nothing found, failed, new ones, older ones.
import { type ReactNode, useSyncExternalStore } from "react";
import { Icon } from "../ui/Icon";
import { ProblemPanel, sentence } from "../ui/ProblemPanel";
import type { LogSession, SessionState } from "./LogSession";
import { spanText } from "./time";

const CLAMPED: Record<string, string> = {
  range: "The range was cut",
  field_bytes: "Long fields were cut",
  response_bytes: "The answer was cut for its size: narrow the range to see the rest",
};

interface NoticesProps {
  state: SessionState;
  live: boolean;
  /** Records of an earlier answer are on the screen. */
  hasRows: boolean;
  onRun: () => void;
}

/** What the person should know about the answer, in a line each. */
export function Notices({ state, live, hasRows, onRun }: NoticesProps) {
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

interface MiddleProps {
  session: LogSession;
  empty: ReactNode;
  onRetry: () => void;
}

/** What stands in place of the list while it has nothing to show. */
export function Middle({ session, empty, onRetry }: MiddleProps) {
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

/** New records wait while the list is held. */
export function NewPill({ session, onShow }: { session: LogSession; onShow: () => void }) {
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
  older: SessionState["older"];
  phase: SessionState["phase"];
  onLoad: () => void;
}

/** What follows the oldest record. */
export function Foot({ older, phase, onLoad }: FootProps) {
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
