import { type FormEvent, useEffect, useRef, useState } from "react";
import { login, type Session } from "../api/client";
import { asProblem, type Problem } from "../api/problem";
import { Icon } from "../ui/Icon";
import { sentence } from "../ui/ProblemPanel";

function useCountdown(seconds: number | null): number {
  const [left, setLeft] = useState(0);
  useEffect(() => {
    if (!seconds) return;
    setLeft(seconds);
    const timer = setInterval(() => setLeft((now) => Math.max(0, now - 1)), 1_000);
    return () => clearInterval(timer);
  }, [seconds]);
  return left;
}

export function LoginPage({ onLogin }: { onLogin: (session: Session) => void }) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const password = useRef<HTMLInputElement>(null);
  const username = useRef<HTMLInputElement>(null);
  const wait = useCountdown(problem?.retryAfterSeconds ?? null);

  useEffect(() => {
    document.title = "Log in · Crowsnest";
    username.current?.focus();
  }, []);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setProblem(null);
    try {
      onLogin(await login(String(form.get("username")), String(form.get("password"))));
    } catch (error) {
      setProblem(asProblem(error));
      setBusy(false);
      password.current?.select();
    }
  }

  return (
    <main className="login">
      <form onSubmit={(event) => void submit(event)} aria-labelledby="login-title">
        <svg viewBox="0 0 32 32" className="brand-mark" aria-hidden="true">
          <path d="M16 4v24M7 11h18l-3 8H10z" />
        </svg>
        <h1 id="login-title">Crowsnest</h1>
        <label>
          User name
          <input
            ref={username}
            name="username"
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            required
          />
        </label>
        <label>
          Password
          <input ref={password} name="password" type="password" autoComplete="current-password" required />
        </label>
        <div className="login-problem" role="alert">
          {problem && (
            <p>
              <Icon name="warn" />
              <span>
                {sentence(problem.detail || problem.title)}{" "}
                {wait > 0 ? `Try again in ${wait} s.` : sentence(problem.hint)}
              </span>
            </p>
          )}
        </div>
        <button type="submit" className="button button-main" disabled={busy || wait > 0}>
          {busy ? "Logging in …" : "Log in"}
        </button>
      </form>
    </main>
  );
}
