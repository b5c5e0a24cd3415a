// Why something failed and what to do about it, in the API's own words.
import type { Problem } from "../api/problem";
import { Icon } from "./Icon";

interface ProblemProps {
  problem: Problem;
  onRetry?: () => void;
  /** A line above content that stays, instead of a panel in its place. */
  inline?: boolean;
}

/** The API's texts are clauses; here they are sentences. */
export function sentence(text: string): string {
  return text && text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

/** Words in backticks are commands or fields. */
function Marked({ text }: { text: string }) {
  return text.split("`").map((part, index) =>
    // biome-ignore lint/suspicious/noArrayIndexKey: parts of one constant text
    index % 2 ? <code key={index}>{part}</code> : part,
  );
}

export function ProblemPanel({ problem, onRetry, inline = false }: ProblemProps) {
  return (
    <div className={inline ? "problem problem-inline" : "problem"} role="alert">
      <Icon name="warn" />
      <div className="problem-text">
        <strong>{problem.title}</strong>
        {problem.detail && <p>{sentence(problem.detail)}</p>}
        {problem.hint && (
          <p className="problem-hint">
            <Marked text={sentence(problem.hint)} />
          </p>
        )}
        {problem.passes && <p className="muted">Trying again by itself.</p>}
      </div>
      {onRetry && (
        <button type="button" className="button" onClick={onRetry}>
          Try now
        </button>
      )}
    </div>
  );
}
