// A change that needs a reason: what is asked for, why, and what the API says of it.
import { type FormEvent, type ReactNode, useState } from "react";
import { asProblem, type Problem } from "../api/problem";
import { ProblemPanel } from "../ui/ProblemPanel";

interface ReasonFormProps {
  label: string;
  submit: string;
  children?: ReactNode;
  onSubmit: (form: FormData, reason: string) => Promise<void>;
  onCancel: () => void;
}

export function ReasonForm({ label, submit, children, onSubmit, onCancel }: ReasonFormProps) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);

  async function send(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setProblem(null);
    try {
      await onSubmit(form, String(form.get("reason")).trim());
    } catch (error) {
      setProblem(asProblem(error));
      setBusy(false);
    }
  }

  return (
    <form className="reason-form" aria-label={label} onSubmit={(event) => void send(event)}>
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
