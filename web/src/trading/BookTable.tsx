// One book as a table: which columns each has, and the cells of its rows.
import type { ReactNode } from "react";
import type { Fill, Order, Position, Signal } from "../api/trading";
import { Link } from "../ui/Link";
import { orderPath } from "./books";
import { Moment } from "./Moment";
import { decimalText, isNegative, latencyText, priceText } from "./numbers";

interface Column<Row> {
  name: string;
  cell: (row: Row) => ReactNode;
  number?: boolean;
}

interface Common {
  id: number;
  time: string;
  strategy_id: string;
  instrument: string;
}

function Profit({ amount }: { amount: string }) {
  return <span className={isNegative(amount) ? "text-loss" : "text-profit"}>{decimalText(amount, 2)}</span>;
}

const common = <Row extends Common>(): Column<Row>[] => [
  { name: "Time", cell: (row) => <Moment time={row.time} /> },
  {
    name: "Strategy",
    cell: (row) => <Link href={`/strategies/${encodeURIComponent(row.strategy_id)}`}>{row.strategy_id}</Link>,
  },
  { name: "Instrument", cell: (row) => row.instrument },
];

export const ORDER_COLUMNS: Column<Order>[] = [
  ...common<Order>(),
  { name: "Side", cell: (row) => row.side },
  { name: "Quantity", number: true, cell: (row) => decimalText(row.quantity) },
  { name: "Filled", number: true, cell: (row) => decimalText(row.filled_quantity) },
  { name: "Average price", number: true, cell: (row) => (row.average_price ? priceText(row.average_price) : "–") },
  {
    name: "Status",
    cell: (row) => (
      <span className={row.reason ? "text-ERROR" : undefined} title={row.reason ?? undefined}>
        {row.status}
      </span>
    ),
  },
  { name: "To fill", number: true, cell: (row) => latencyText(row.fill_latency_us) },
  {
    name: "Order",
    cell: (row) => <Link href={orderPath(row.run_id, row.client_order_id)}>{row.client_order_id}</Link>,
  },
];

export const FILL_COLUMNS: Column<Fill>[] = [
  ...common<Fill>(),
  { name: "Side", cell: (row) => row.side },
  { name: "Quantity", number: true, cell: (row) => decimalText(row.quantity) },
  { name: "Price", number: true, cell: (row) => priceText(row.price) },
  { name: "Commission", number: true, cell: (row) => `${decimalText(row.commission, 2)} ${row.currency}` },
  {
    name: "Order",
    cell: (row) => <Link href={orderPath(row.run_id, row.client_order_id)}>{row.client_order_id}</Link>,
  },
];

export const POSITION_COLUMNS: Column<Position>[] = [
  ...common<Position>(),
  { name: "Side", cell: (row) => row.side },
  { name: "Quantity", number: true, cell: (row) => decimalText(row.quantity) },
  { name: "Opened at", number: true, cell: (row) => priceText(row.average_open) },
  { name: "Closed at", number: true, cell: (row) => (row.average_close ? priceText(row.average_close) : "–") },
  { name: "Realized", number: true, cell: (row) => <Profit amount={row.realized_pnl} /> },
  {
    name: "Opened by",
    cell: (row) => <Link href={orderPath(row.run_id, row.opening_order_id)}>{row.opening_order_id}</Link>,
  },
];

export const SIGNAL_COLUMNS: Column<Signal>[] = [
  ...common<Signal>(),
  { name: "Direction", cell: (row) => row.direction },
  { name: "Strength", number: true, cell: (row) => row.strength.toFixed(2) },
  { name: "Price", number: true, cell: (row) => priceText(row.price) },
];

export function BookTable<Row extends Common>({
  name,
  columns,
  rows,
}: {
  name: string;
  columns: Column<Row>[];
  rows: Row[];
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls sideways, so the keyboard has to reach it
    <div className="table-scroll" tabIndex={0} role="group" aria-label={name}>
      <table className="table table-wide">
        <thead>
          <tr>
            {columns.map((column) => (
              <th scope="col" key={column.name} className={column.number ? "number" : undefined}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.id}>
              {columns.map((column) => (
                <td key={column.name} className={column.number ? "number" : undefined}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
