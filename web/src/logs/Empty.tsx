// Nothing was found: why that may be, and the ways on.
import { useQuery } from "@tanstack/react-query";
import { health } from "../api/client";
import type { Search } from "./search";
import { spanText } from "./time";

interface EmptyProps {
  search: Search;
  narrowed: boolean;
  onWiden: () => void;
  onClear: () => void;
  onClearQuery: () => void;
}

export function Empty({ search, narrowed, onWiden, onClear, onClearQuery }: EmptyProps) {
  const { data } = useQuery({ queryKey: ["health"], queryFn: ({ signal }) => health(signal) });
  const age = data?.newest_record_age_seconds;
  const widest = search.start === "24h" && !search.end;
  return (
    <div className="empty">
      <h2>No records match</h2>
      {data && age === null && <p>The store has no records at all: nothing has been logged yet, or nothing arrives.</p>}
      {typeof age === "number" && (
        <p>
          The newest record you may see is {spanText(Math.max(0, age))} old
          {age > 300 ? ", so new ones may not be arriving: look at the collectors." : ", so the store is being fed."}
        </p>
      )}
      <div className="empty-ways">
        {!widest && (
          <button type="button" className="button" onClick={onWiden}>
            Search the last 24 hours
          </button>
        )}
        {narrowed && (
          <button type="button" className="button" onClick={onClear}>
            Remove the filters
          </button>
        )}
        {search.q && (
          <button type="button" className="button" onClick={onClearQuery}>
            Clear the query
          </button>
        )}
      </div>
      {search.q && (
        <p className="muted">
          A word matches whole words: <code>order</code> does not find <code>orders</code>, <code>order*</code> does.
        </p>
      )}
    </div>
  );
}
