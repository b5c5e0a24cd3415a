import { useEffect } from "react";
import { StrategyLogPanel } from "../logs/StrategyLogPanel";
import { Icon } from "../ui/Icon";
import { Link } from "../ui/Link";

export function StrategyPage({ strategyId }: { strategyId: string }) {
  useEffect(() => {
    document.title = `${strategyId} · Crowsnest`;
  }, [strategyId]);
  return (
    <main className="page">
      <div className="page-head">
        <Link href="/strategies">Strategies</Link>
        <span aria-hidden="true">/</span>
        <h1>{strategyId}</h1>
        <span className="scope" title="Every request of this page is limited to this strategy by the server">
          <Icon name="lock" />
          only records of this strategy
        </span>
      </div>
      <StrategyLogPanel strategyId={strategyId} />
    </main>
  );
}
