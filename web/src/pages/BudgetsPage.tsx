// Budgets: how much capital each strategy may bind and does, who changed it and why, and raises that wait for a second person.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { asProblem } from "../api/problem";
import { type Budget, changeBudget, decideRaise, listBudgets, listChanges, type Raise } from "../api/trading";
import { spanText } from "../logs/time";
import { useSession } from "../session";
import { Moment } from "../trading/Moment";
import { decimalText, isAbove, usedShare } from "../trading/numbers";
import { ReasonForm } from "../trading/ReasonForm";
import { Link } from "../ui/Link";
import { Loading } from "../ui/Loading";
import { ProblemPanel } from "../ui/ProblemPanel";

const KEY = ["budgets"];
const LATE_SECONDS = 10;
const NEARLY = 0.9;

function Usage({ budget }: { budget: Budget }) {
  if (budget.used_usd === null) return <p className="muted">The engine has not run with this budget yet.</p>;
  const share = usedShare(budget.used_usd, budget.cap_usd);
  const percent = `${Math.round(share * 100)} %`;
  const state = share > 1 ? "over" : share >= NEARLY ? "nearly" : "within";
  return (
    <div className="usage">
      <svg className={`usage-bar usage-${state}`} viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
        <rect className="usage-cap" width="100" height="8" />
        <rect className="usage-used" width={Math.min(100, share * 100)} height="8" />
      </svg>
      <p>
        {decimalText(budget.used_usd, 2)} dollars bound, {percent} of the cap
        {share > 1 && ": beyond it until positions are closed"}
      </p>
    </div>
  );
}

function Applied({ budget }: { budget: Budget }) {
  const age = budget.usage_age_seconds;
  if (age === null) return null;
  if (age > LATE_SECONDS) return <p className="text-WARNING">The engine has not been heard of for {spanText(age)}.</p>;
  if (budget.applied_version !== budget.version) return <p className="text-WARNING">The engine has yet to take it.</p>;
  return (
    <p className="muted">
      In force. Orders denied since the engine started: {decimalText(String(budget.denied_total ?? 0))}
    </p>
  );
}

function PendingRaise({ raise, mayDecide }: { raise: Raise; mayDecide: boolean }) {
  const queries = useQueryClient();
  const [problem, setProblem] = useState<ReturnType<typeof asProblem> | null>(null);
  async function decide(verdict: "confirm" | "reject") {
    try {
      await decideRaise(raise.id, verdict);
      setProblem(null);
    } catch (error) {
      setProblem(asProblem(error));
    }
    await queries.invalidateQueries({ queryKey: KEY });
  }
  return (
    <div className="raise" role="group" aria-label={`Raise of ${raise.strategy_id}`}>
      <p>
        {raise.requested_by} asks for <strong>{decimalText(raise.cap_usd, 2)} dollars</strong>: {raise.reason}
      </p>
      <p className="muted">
        Another operator confirms it until <Moment time={raise.expires} />.
      </p>
      {mayDecide && (
        <div className="raise-ways">
          <button type="button" className="button button-main" onClick={() => void decide("confirm")}>
            Confirm
          </button>
          <button type="button" className="button" onClick={() => void decide("reject")}>
            Reject
          </button>
        </div>
      )}
      {problem && <ProblemPanel problem={problem} inline />}
    </div>
  );
}

function History({ strategyId }: { strategyId: string }) {
  const { data, error } = useQuery({
    queryKey: [...KEY, "changes", strategyId],
    queryFn: ({ signal }) => listChanges(strategyId, null, signal),
  });
  if (error) return <ProblemPanel problem={asProblem(error)} inline />;
  if (!data) return <Loading />;
  if (data.rows.length === 0) return <p className="muted">It has never been changed.</p>;
  return (
    <ol className="history">
      {data.rows.map((one) => (
        <li key={one.id}>
          <Moment time={one.changed} /> {decimalText(one.previous_usd, 2)} → {decimalText(one.cap_usd, 2)} by{" "}
          {one.changed_by}
          {one.confirmed_by && `, confirmed by ${one.confirmed_by}`}: {one.reason}
        </li>
      ))}
    </ol>
  );
}

function BudgetCard({ budget }: { budget: Budget }) {
  const queries = useQueryClient();
  const isOperator = useSession().role === "operator";
  const [editing, setEditing] = useState<Budget | null>(null);
  const [said, setSaid] = useState("");
  const [showsHistory, setShowsHistory] = useState(false);
  const opener = useRef<HTMLButtonElement>(null);

  // Of the budget as it was when the form was opened: who changed it meanwhile is not overwritten.
  async function change(form: FormData, reason: string) {
    if (!editing) return;
    const applied = await changeBudget(editing, String(form.get("cap")).trim(), reason).finally(() =>
      queries.invalidateQueries({ queryKey: KEY }),
    );
    setEditing(null);
    setSaid(applied ? "Changed." : "It is a raise: it waits for another operator.");
  }

  return (
    <li className="budget">
      <h2>
        <Link href={`/strategies/${encodeURIComponent(budget.strategy_id)}`}>{budget.strategy_id}</Link>
      </h2>
      <p className="budget-cap">
        Cap {decimalText(budget.cap_usd, 2)} dollars <span className="muted">version {budget.version}</span>
      </p>
      <Usage budget={budget} />
      <Applied budget={budget} />
      <p className="muted">
        Set by {budget.changed_by}, <Moment time={budget.changed} />: {budget.reason}
      </p>
      {budget.pending && <PendingRaise raise={budget.pending} mayDecide={isOperator} />}
      <p role="status">{said}</p>
      {editing && (
        <ReasonForm
          label={`Change the budget of ${budget.strategy_id}`}
          submit="Change"
          opener={opener}
          onSubmit={change}
          onCancel={() => setEditing(null)}
        >
          <label>
            Cap in dollars
            <input
              name="cap"
              defaultValue={editing.cap_usd}
              inputMode="decimal"
              pattern="\d{1,16}(\.\d{1,2})?"
              title="Dollars and cents, such as 250000.00"
              required
            />
          </label>
          {editing.version !== budget.version && (
            <p className="text-WARNING">
              {budget.changed_by} has changed it meanwhile to {decimalText(budget.cap_usd, 2)}
              {isAbove(budget.cap_usd, editing.cap_usd) ? " (more)" : " (less)"}.
            </p>
          )}
        </ReasonForm>
      )}
      <div className="budget-ways">
        {isOperator && !editing && (
          <button
            type="button"
            className="button"
            ref={opener}
            onClick={() => {
              setSaid("");
              setEditing(budget);
            }}
          >
            Change
          </button>
        )}
        <button
          type="button"
          className="button"
          aria-expanded={showsHistory}
          onClick={() => setShowsHistory(!showsHistory)}
        >
          History
        </button>
      </div>
      {showsHistory && <History strategyId={budget.strategy_id} />}
    </li>
  );
}

export function BudgetsPage() {
  useEffect(() => {
    document.title = "Budgets · Crowsnest";
  }, []);
  const { data, error, refetch } = useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => listBudgets(signal),
    refetchInterval: 2_000,
  });
  return (
    <main className="page page-padded">
      <h1>Budgets</h1>
      <p className="muted">
        Capital that each strategy may bind. The engine denies an order beyond it; a lower cap holds within a second, a
        raise takes two people.
      </p>
      {error && <ProblemPanel problem={asProblem(error)} onRetry={() => void refetch()} inline={data !== undefined} />}
      {!data && !error && <Loading />}
      {data?.length === 0 && (
        <div className="empty">
          <h2>No budgets</h2>
          <p>The engine makes one for each strategy when it starts.</p>
        </div>
      )}
      <ul className="budgets">
        {data?.map((budget) => (
          <BudgetCard key={budget.strategy_id} budget={budget} />
        ))}
      </ul>
    </main>
  );
}
