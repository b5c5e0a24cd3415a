// Every strategy that has logged in the last day, with what went wrong, as the way to its own page.
import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { findFacets, findLoss } from "../api/client";
import { asProblem } from "../api/problem";
import { Link } from "../ui/Link";
import { ProblemPanel } from "../ui/ProblemPanel";

interface Row {
  id: string;
  records: number;
  errors: number;
  warnings: number;
  /** Records that its process lost, by its own count. */
  lost: number;
}

async function strategies(signal: AbortSignal): Promise<Row[]> {
  const ask = (level?: string[]) =>
    findFacets({ q: "*", start: "24h", fields: "strategy_id", limit: 100, ...(level ? { level } : {}) }, signal);
  // One after another: a user may run few queries at once.
  const all = await ask();
  const errors = await ask(["ERROR", "CRITICAL"]);
  const warnings = await ask(["WARNING"]);
  const lost = new Map<string, number>();
  for (const gap of (await findLoss({ start: "24h" }, signal)).gaps) {
    const id = gap.strategy_id ?? "";
    lost.set(id, (lost.get(id) ?? 0) + gap.count);
  }
  const counts = (answer: typeof all) => new Map(answer.facets[0]?.values.map(({ value, hits }) => [value, hits]));
  const [errorCounts, warningCounts] = [counts(errors), counts(warnings)];
  return (all.facets[0]?.values ?? [])
    .filter(({ value }) => value !== "")
    .map(({ value, hits }) => ({
      id: value,
      records: hits,
      errors: errorCounts.get(value) ?? 0,
      warnings: warningCounts.get(value) ?? 0,
      lost: lost.get(value) ?? 0,
    }))
    .sort((a, b) => a.id.localeCompare(b.id));
}

const whole = new Intl.NumberFormat("en");

export function StrategiesPage() {
  useEffect(() => {
    document.title = "Strategies · Crowsnest";
  }, []);
  const { data, error, refetch } = useQuery({
    queryKey: ["strategies"],
    queryFn: ({ signal }) => strategies(signal),
    refetchInterval: 15_000,
  });
  return (
    <main className="page page-padded">
      <h1>Strategies</h1>
      <p className="muted">Records of the last 24 hours.</p>
      {error && <ProblemPanel problem={asProblem(error)} onRetry={() => void refetch()} inline={data !== undefined} />}
      {data?.length === 0 && (
        <div className="empty">
          <h2>No strategy has logged in the last 24 hours</h2>
          <p>
            A strategy appears here with its first record, logged to <code>strategy.&lt;strategy_id&gt;</code>.
          </p>
        </div>
      )}
      {data && data.length > 0 && (
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Strategy</th>
              <th scope="col" className="number">
                Records
              </th>
              <th scope="col" className="number">
                Warnings
              </th>
              <th scope="col" className="number">
                Errors
              </th>
              <th scope="col" className="number">
                Lost
              </th>
            </tr>
          </thead>
          <tbody>
            {data.map((row) => (
              <tr key={row.id}>
                <th scope="row">
                  <Link href={`/strategies/${encodeURIComponent(row.id)}`}>{row.id}</Link>
                </th>
                <td className="number">{whole.format(row.records)}</td>
                <td className={row.warnings ? "number text-WARNING" : "number muted"}>{whole.format(row.warnings)}</td>
                <td className={row.errors ? "number text-ERROR" : "number muted"}>{whole.format(row.errors)}</td>
                <td className={row.lost ? "number text-ERROR" : "number muted"}>{whole.format(row.lost)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </main>
  );
}
