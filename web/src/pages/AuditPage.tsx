// Who did what: the audit log, newest first.
import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { asProblem } from "../api/problem";
import { listAudit } from "../api/trading";
import { Moment } from "../trading/Moment";
import { Loading } from "../ui/Loading";
import { ProblemPanel } from "../ui/ProblemPanel";

export function AuditPage() {
  useEffect(() => {
    document.title = "Audit · Crowsnest";
  }, []);
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: ["audit"],
    queryFn: ({ pageParam, signal }) => listAudit(pageParam, signal),
    initialPageParam: null as number | null,
    getNextPageParam: (page) => page.next,
  });
  const rows = data?.pages.flatMap((page) => page.rows);
  return (
    <main className="page page-padded">
      <h1>Audit</h1>
      <p className="muted">
        Each entry's hash covers the one before. <code>python -m crowsnest.api audit verify</code> on the machine checks
        all.
      </p>
      {error && <ProblemPanel problem={asProblem(error)} onRetry={() => void refetch()} inline={rows !== undefined} />}
      {!rows && !error && <Loading />}
      {rows && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls sideways, so the keyboard has to reach it
        <div className="table-scroll" tabIndex={0} role="group" aria-label="Audit log">
          <table className="table table-wide">
            <thead>
              <tr>
                {["Number", "Time", "Who", "From", "Action", "Outcome", "Detail", "Hash"].map((name) => (
                  <th scope="col" key={name}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr key={row.seq}>
                  <td>{row.seq}</td>
                  <td>
                    <Moment time={row.time} />
                  </td>
                  <td>{row.actor}</td>
                  <td>{row.address}</td>
                  <td>{row.action}</td>
                  <td className={/^(refused|failed)/.test(row.outcome) ? "text-ERROR" : undefined}>{row.outcome}</td>
                  <td className="audit-detail">{JSON.stringify(row.detail)}</td>
                  <td title={row.hash}>{row.hash.slice(0, 8)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {hasNextPage && (
        <button
          type="button"
          className="button older"
          onClick={() => void fetchNextPage()}
          disabled={isFetchingNextPage}
        >
          {isFetchingNextPage ? "Loading …" : "Older"}
        </button>
      )}
    </main>
  );
}
