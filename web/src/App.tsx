// The frame: who is logged in decides whether there is a login page or the viewer; the path decides which page.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { onSessionExpired, type Session, whoAmI } from "./api/client";
import { asProblem } from "./api/problem";
import { usePath, wantedTool } from "./location";
import { AuditPage } from "./pages/AuditPage";
import { BudgetsPage } from "./pages/BudgetsPage";
import { LoginPage } from "./pages/LoginPage";
import { LogsPage } from "./pages/LogsPage";
import { NotFoundPage } from "./pages/NotFoundPage";
import { OrderPage } from "./pages/OrderPage";
import { ServicesPage } from "./pages/ServicesPage";
import { StrategiesPage } from "./pages/StrategiesPage";
import { StrategyPage } from "./pages/StrategyPage";
import { TradingPage } from "./pages/TradingPage";
import { SessionContext } from "./session";
import { bookOf } from "./trading/books";
import { ProblemPanel } from "./ui/ProblemPanel";
import { TopBar } from "./ui/TopBar";

const SESSION_KEY = ["session"];

function Page({ path }: { path: string }) {
  if (path === "/" || path === "/logs") return <LogsPage />;
  if (path === "/strategies") return <StrategiesPage />;
  const strategy = /^\/strategies\/([^/]+)\/?$/.exec(path)?.[1];
  if (strategy) return <StrategyPage strategyId={decodeURIComponent(strategy)} key={strategy} />;
  const book = bookOf(path);
  if (book) return <TradingPage book={book} key={book} />;
  const [, run, order] = /^\/trading\/orders\/([^/]+)\/([^/]+)\/?$/.exec(path) ?? [];
  if (run && order) return <OrderPage runId={decodeURIComponent(run)} orderId={decodeURIComponent(order)} key={path} />;
  if (path === "/budgets") return <BudgetsPage />;
  if (path === "/audit") return <AuditPage />;
  if (path === "/services") return <ServicesPage />;
  return <NotFoundPage />;
}

export function App() {
  const path = usePath();
  const queries = useQueryClient();
  const session = useQuery({
    queryKey: SESSION_KEY,
    queryFn: ({ signal }) => whoAmI(signal),
    staleTime: Number.POSITIVE_INFINITY,
    refetchInterval: (query) => (query.state.status === "error" ? 3_000 : false),
    retry: false,
  });

  useEffect(
    () =>
      onSessionExpired(() => {
        queries.setQueryData(SESSION_KEY, null);
        // Another person may log in next: nothing of this one's stays.
        queries.removeQueries({ predicate: (query) => query.queryKey[0] !== SESSION_KEY[0] });
      }),
    [queries],
  );

  function enter(who: Session): void {
    const tool = wantedTool();
    if (tool) location.replace(tool);
    else queries.setQueryData(SESSION_KEY, who);
  }

  if (session.isPending) return <div className="boot" aria-busy="true" />;
  if (session.isError) {
    return (
      <main className="boot">
        <ProblemPanel problem={asProblem(session.error)} onRetry={() => void session.refetch()} />
      </main>
    );
  }
  if (!session.data) return <LoginPage onLogin={enter} />;
  return (
    <SessionContext value={session.data}>
      <div className="app">
        <TopBar path={path} />
        <Page path={path} />
      </div>
    </SessionContext>
  );
}
