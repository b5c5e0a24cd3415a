// The logs of one strategy, to be put on any page about it: the same viewer and store, bound to a scope.
import { useMemo } from "react";
import { LogViewer } from "./LogViewer";

export function StrategyLogPanel({ strategyId }: { strategyId: string }) {
  const scope = useMemo(() => Object.freeze({ strategyId }), [strategyId]);
  return <LogViewer scope={scope} />;
}
