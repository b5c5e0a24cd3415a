// One order's whole story under one address: what it became, its latency, its fills and positions, and what was logged about it.
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect } from "react";
import { queryLogs } from "../api/client";
import { asProblem } from "../api/problem";
import { findOrder, type OrderStory } from "../api/trading";
import { levelOf } from "../logs/items";
import { LevelMark } from "../logs/Level";
import { BookTable, FILL_COLUMNS, POSITION_COLUMNS, SIGNAL_COLUMNS } from "../trading/BookTable";
import { Moment } from "../trading/Moment";
import { decimalText, latencyText, priceText } from "../trading/numbers";
import { Link } from "../ui/Link";
import { Loading } from "../ui/Loading";
import { ProblemPanel } from "../ui/ProblemPanel";

const MOST_RECORDS = 200;
/** For so long after its last change, more may come: a later state, and records that are still on their way. */
const SETTLED_MS = 60_000;
const REFRESH_MS = 3_000;

function refresh(updated: string | undefined): number | false {
  return updated && Date.now() - Date.parse(updated) < SETTLED_MS ? REFRESH_MS : false;
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Facts({ order }: { order: OrderStory["order"] }) {
  return (
    <dl className="facts">
      <Fact name="Strategy">
        <Link href={`/strategies/${encodeURIComponent(order.strategy_id)}`}>{order.strategy_id}</Link>
      </Fact>
      <Fact name="Instrument">{order.instrument}</Fact>
      <Fact name="Order">
        {order.side} {decimalText(order.quantity)} {order.order_type}
      </Fact>
      <Fact name="Status">
        {order.status}
        {order.reason && <p className="text-ERROR">{order.reason}</p>}
      </Fact>
      <Fact name="Filled">
        {decimalText(order.filled_quantity)}
        {order.average_price && ` at ${priceText(order.average_price)}`}
      </Fact>
      <Fact name="Decision to the venue's answer">{latencyText(order.submit_latency_us)}</Fact>
      <Fact name="Decision to fill">{latencyText(order.fill_latency_us)}</Fact>
      <Fact name="Decided">
        <Moment time={order.time} />
      </Fact>
      <Fact name="Time of the market">
        <Moment time={order.market_time} />
      </Fact>
      <Fact name="Run">
        <Link href={`/trading/orders?run_id=${encodeURIComponent(order.run_id)}`}>{order.run_id}</Link>
      </Fact>
    </dl>
  );
}

function Records({ logs }: { logs: OrderStory["logs"] }) {
  const { data, error, refetch } = useQuery({
    queryKey: ["order-records", logs],
    queryFn: ({ signal }) => queryLogs({ ...logs, limit: MOST_RECORDS }, signal),
    refetchInterval: () => refresh(logs.end),
  });
  const link = new URLSearchParams({ q: logs.q, start: logs.start, end: logs.end, strategy_id: logs.strategy_id });
  // The log store answers newest first; a story begins at its beginning.
  const rows = [...(data?.rows ?? [])].reverse();
  return (
    <section aria-labelledby="order-records">
      <h2 id="order-records">Records</h2>
      {error && <ProblemPanel problem={asProblem(error)} onRetry={() => void refetch()} />}
      {!data && !error && <Loading />}
      {data && rows.length === 0 && <p className="muted">The log store has no record of this order, or no more.</p>}
      {rows.length > 0 && (
        <ol className="order-records">
          {rows.map((row) => (
            <li key={`${row._time}${row._msg}`}>
              <LevelMark level={levelOf(row)} /> <Moment time={row._time} /> <span>{row._msg}</span>
            </li>
          ))}
        </ol>
      )}
      <p>
        <Link href={`/logs?${link}`}>Open in the log viewer</Link>
      </p>
    </section>
  );
}

export function OrderPage({ runId, orderId }: { runId: string; orderId: string }) {
  useEffect(() => {
    document.title = `${orderId} · Crowsnest`;
  }, [orderId]);
  const { data, error, refetch } = useQuery({
    queryKey: ["order", runId, orderId],
    queryFn: ({ signal }) => findOrder(runId, orderId, signal),
    refetchInterval: (query) => refresh(query.state.data?.order.updated),
  });
  return (
    <main className="page page-padded">
      <p>
        <Link href="/trading/orders">Orders</Link>
      </p>
      <h1 className="mono">{orderId}</h1>
      {error && <ProblemPanel problem={asProblem(error)} onRetry={() => void refetch()} />}
      {!data && !error && <Loading />}
      {data && (
        <>
          <Facts order={data.order} />
          {data.signal && (
            <section>
              <h2>Signal</h2>
              <BookTable name="Signal" columns={SIGNAL_COLUMNS} rows={[data.signal]} />
            </section>
          )}
          <section>
            <h2>Fills</h2>
            {data.fills.length === 0 && <p className="muted">It was not filled.</p>}
            {data.fills.length > 0 && <BookTable name="Fills" columns={FILL_COLUMNS} rows={data.fills} />}
          </section>
          {data.positions.length > 0 && (
            <section>
              <h2>Positions that it opened or closed</h2>
              <BookTable name="Positions" columns={POSITION_COLUMNS} rows={data.positions} />
            </section>
          )}
          <Records logs={data.logs} />
        </>
      )}
    </main>
  );
}
