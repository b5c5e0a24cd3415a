// Positions, orders, fills and signals: newest first, narrowed by strategy, instrument and run, a page at a time.
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect } from "react";
import { asProblem } from "../api/problem";
import {
  type BookFilter,
  findChoices,
  listFills,
  listOrders,
  listPositions,
  listSignals,
  type Page,
} from "../api/trading";
import { navigate, useQueryString } from "../location";
import { BookTable, FILL_COLUMNS, ORDER_COLUMNS, POSITION_COLUMNS, SIGNAL_COLUMNS } from "../trading/BookTable";
import { BOOKS, type Book } from "../trading/books";
import { Link } from "../ui/Link";
import { Loading } from "../ui/Loading";
import { ProblemPanel } from "../ui/ProblemPanel";

const REFRESH_MS = 5_000;
const FIELDS = ["strategy_id", "instrument", "run_id"] as const;
const TITLES: Record<Book, string> = { positions: "Positions", orders: "Orders", fills: "Fills", signals: "Signals" };

function filterOf(text: string): BookFilter {
  const given = new URLSearchParams(text);
  return Object.fromEntries(FIELDS.flatMap((name) => (given.get(name) ? [[name, given.get(name)]] : [])));
}

function narrow(name: string, value: string): void {
  const given = new URLSearchParams(location.search);
  if (value) given.set(name, value);
  else given.delete(name);
  navigate(`${location.pathname}${given.size ? `?${given}` : ""}`, true);
}

function Choice(props: { label: string; field: string; value: string; options: [value: string, text: string][] }) {
  const { label, field, value, options } = props;
  // What a link names and is not offered can still be chosen.
  const known = options.some(([one]) => one === value);
  return (
    <label className="choice">
      {label}
      <select value={value} onChange={(event) => narrow(field, event.target.value)}>
        <option value="">all</option>
        {!known && value && <option value={value}>{value}</option>}
        {options.map(([one, text]) => (
          <option key={one} value={one}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

function Filters({ filter }: { filter: BookFilter }) {
  const { data } = useQuery({
    queryKey: ["trading", "choices"],
    queryFn: ({ signal }) => findChoices(signal),
    refetchInterval: 30_000,
  });
  const plain = (values: string[] = []): [string, string][] => values.map((value) => [value, value]);
  const runs = (data?.runs ?? []).map((run): [string, string] => [run.run_id, `${run.run_id} · ${run.mode}`]);
  return (
    <div className="choices">
      <Choice label="Strategy" field="strategy_id" value={filter.strategy_id ?? ""} options={plain(data?.strategies)} />
      <Choice
        label="Instrument"
        field="instrument"
        value={filter.instrument ?? ""}
        options={plain(data?.instruments)}
      />
      <Choice label="Run" field="run_id" value={filter.run_id ?? ""} options={runs} />
    </div>
  );
}

type Lister<Row> = (filter: BookFilter, before: string | null, signal: AbortSignal) => Promise<Page<Row>>;

function Rows<Row>({
  book,
  filter,
  list,
  table,
}: {
  book: Book;
  filter: BookFilter;
  list: Lister<Row>;
  table: (rows: Row[]) => ReactNode;
}) {
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: ["trading", book, filter],
    queryFn: ({ pageParam, signal }) => list(filter, pageParam, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
    // Who reads older pages keeps them still.
    refetchInterval: (query) => ((query.state.data?.pages.length ?? 0) > 1 ? false : REFRESH_MS),
  });
  const rows = data?.pages.flatMap((page) => page.rows);
  return (
    <>
      {error && <ProblemPanel problem={asProblem(error)} onRetry={() => void refetch()} inline={rows !== undefined} />}
      {!rows && !error && <Loading />}
      {rows?.length === 0 && (
        <div className="empty">
          <h2>No {TITLES[book].toLowerCase()}</h2>
          <p>Nothing matches, or the engine has not traded yet.</p>
        </div>
      )}
      {rows && rows.length > 0 && table(rows)}
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
    </>
  );
}

function BookRows({ book, filter }: { book: Book; filter: BookFilter }) {
  const name = TITLES[book];
  switch (book) {
    case "positions":
      return (
        <Rows
          book={book}
          filter={filter}
          list={listPositions}
          table={(rows) => <BookTable name={name} columns={POSITION_COLUMNS} rows={rows} />}
        />
      );
    case "orders":
      return (
        <Rows
          book={book}
          filter={filter}
          list={listOrders}
          table={(rows) => <BookTable name={name} columns={ORDER_COLUMNS} rows={rows} />}
        />
      );
    case "fills":
      return (
        <Rows
          book={book}
          filter={filter}
          list={listFills}
          table={(rows) => <BookTable name={name} columns={FILL_COLUMNS} rows={rows} />}
        />
      );
    case "signals":
      return (
        <Rows
          book={book}
          filter={filter}
          list={listSignals}
          table={(rows) => <BookTable name={name} columns={SIGNAL_COLUMNS} rows={rows} />}
        />
      );
  }
}

export function TradingPage({ book }: { book: Book }) {
  const text = useQueryString();
  const filter = filterOf(text);
  useEffect(() => {
    document.title = `${TITLES[book]} · Crowsnest`;
  }, [book]);
  return (
    <main className="page page-padded">
      <h1>{TITLES[book]}</h1>
      <nav className="tabs" aria-label="Books">
        {BOOKS.map((one) => (
          <Link key={one} href={`/trading/${one}${text}`} aria-current={one === book ? "page" : undefined}>
            {TITLES[one]}
          </Link>
        ))}
      </nav>
      <Filters filter={filter} />
      <BookRows book={book} filter={filter} />
    </main>
  );
}
