// The query as typed, with Run and Live.
import { type FormEvent, type RefObject, useEffect, useState } from "react";
import { Icon } from "../ui/Icon";
import type { TailMode } from "./LiveTail";

interface QueryBarProps {
  q: string;
  input: RefObject<HTMLInputElement | null>;
  live: boolean;
  paused: boolean;
  tail: TailMode;
  onRun: (q: string) => void;
  onLive: () => void;
  onPause: () => void;
}

export function QueryInput({ q, input, onRun }: Pick<QueryBarProps, "q" | "input" | "onRun">) {
  const [draft, setDraft] = useState(q);
  useEffect(() => setDraft(q), [q]);

  function submit(event: FormEvent) {
    event.preventDefault();
    onRun(draft.trim());
  }

  return (
    <form className="query" role="search" aria-label="Log records" onSubmit={submit}>
      <Icon name="search" />
      <input
        ref={input}
        type="search"
        name="q"
        aria-label="Query (LogsQL)"
        placeholder='words   "a phrase"   field:value   !not   (LogsQL)'
        value={draft}
        spellCheck={false}
        autoComplete="off"
        autoCapitalize="none"
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape" && !draft) input.current?.blur();
        }}
      />
      <span className="query-key" aria-hidden="true">
        /
      </span>
      <button type="submit" className={draft.trim() === q ? "button" : "button button-main"}>
        Run
      </button>
    </form>
  );
}

const LIVE_TEXT: Record<TailMode, string> = {
  off: "Live",
  connecting: "Live …",
  streaming: "Live",
  polling: "Live, 5 s",
  failing: "Live: waiting",
};

export function LiveControls({ live, paused, tail, onLive, onPause }: Omit<QueryBarProps, "q" | "input" | "onRun">) {
  return (
    <div className="live" role="group" aria-label="Live">
      <button
        type="button"
        className={`button live-button live-${tail}`}
        aria-pressed={live}
        title={live ? "Live: new records appear by themselves (l)" : "Show new records as they arrive (l)"}
        onClick={onLive}
      >
        <span className="live-mark" aria-hidden="true" />
        <span className="live-text">{live ? LIVE_TEXT[tail] : "Live"}</span>
      </button>
      <button
        type="button"
        className="button button-bare"
        disabled={!live}
        aria-pressed={paused}
        aria-label={paused ? "Go on" : "Pause"}
        title={paused ? "Go on (Space)" : "Pause (Space)"}
        onClick={onPause}
      >
        <Icon name={paused ? "play" : "pause"} />
      </button>
    </div>
  );
}
