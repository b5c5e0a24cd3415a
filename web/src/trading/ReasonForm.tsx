// A change that needs a reason: what is asked for, why, and what the API says of it.
import { type FormEvent, type ReactNode, type RefObject, useEffect, useRef, useState } from "react";
import { asProblem, type Problem } from "../api/problem";
import { ProblemPanel } from "../ui/ProblemPanel";

interface ReasonFormProps {
  label: string;
  submit: string;
  children?: ReactNode;
  /** What opens the form, and is back when it closes. */
  opener: RefObject<HTMLButtonElement | null>;
  onSubmit: (form: FormData, reason: string) => Promise<void>;
  onCancel: () => void;
}

export function ReasonForm({ label, submit, children, opener, onSubmit, onCancel }: ReasonFormProps) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);

  // Who came by keyboard goes on in the form, and after it where they were.
  useEffect(() => {
    form.current?.querySelector("input")?.focus();
    return () => opener.current?.focus();
  }, [opener]);

  async function send(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    setBusy(true);
    setProblem(null);
    try {
      await onSubmit(given, String(given.get("reason")).trim());
    } catch (error) {
      setProblem(asProblem(error));
      setBusy(false);
    }
  }

  return (
    <form ref={form} className="reason-form" aria-label={label} onSubmit={(event) => void send(event)}>
      {children}
      <label className="reason">
        Reason
        <input name="reason" required minLength={3} maxLength={500} autoComplete="off" />
      </label>
      <button type="submit" className="button button-main" disabled={busy}>
        {busy ? "Working …" : submit}
      </button>
      <button type="button" className="button" onClick={onCancel} disabled={busy}>
        Cancel
      </button>
      {problem && <ProblemPanel problem={problem} inline />}
    </form>
  );
}
