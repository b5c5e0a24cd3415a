// Values of the main fields with counts; a click narrows the search by a chip, never by editing what was typed.
import type { Facet } from "../api/client";
import { columnLabel } from "./columns";
import { levelOf } from "./items";
import { LevelMark } from "./Level";
import type { Search } from "./search";

interface FacetsProps {
  facets: Facet[] | undefined;
  failed: boolean;
  search: Search;
  /** Fields that cannot be chosen here, because the panel is bound to one value. */
  fixed: readonly string[];
  onToggle: (field: string, value: string) => void;
}

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function chosenValues(search: Search, field: string): string[] {
  if (field === "strategy_id") return search.strategyId ? [search.strategyId] : [];
  return search.filters.filter((one) => one.field === field && !one.not).map((one) => one.value);
}

function FacetList({ facet, search, onToggle }: { facet: Facet } & Pick<FacetsProps, "search" | "onToggle">) {
  const chosen = chosenValues(search, facet.field);
  const known = facet.values.filter(({ value }) => value !== "");
  // What was chosen stays in sight although the answer may no longer have it.
  const missing = chosen.filter((value) => !known.some((one) => one.value === value));
  const values = [...missing.map((value) => ({ value, hits: 0 })), ...known];
  const most = Math.max(1, ...values.map((one) => one.hits));
  if (values.length === 0) return null;
  return (
    <section className="facet" aria-label={columnLabel(facet.field)}>
      <h2>{columnLabel(facet.field)}</h2>
      <ul>
        {values.map(({ value, hits }) => (
          <li key={value}>
            <button
              type="button"
              className="facet-value"
              aria-pressed={chosen.includes(value)}
              title={`${value}: ${whole.format(hits)} records`}
              onClick={() => onToggle(facet.field, value)}
            >
              <span className="facet-bar" style={{ width: `${(hits / most) * 100}%` }} />
              {facet.field === "level" && <LevelMark level={levelOf({ _time: "", _msg: "", level: value })} />}
              <span className="facet-name">{value}</span>
              <span className="number muted">{compact.format(hits)}</span>
            </button>
          </li>
        ))}
      </ul>
      {facet.more && <p className="muted facet-more">and more: search for them</p>}
    </section>
  );
}

export function Facets({ facets, failed, search, fixed, onToggle }: FacetsProps) {
  return (
    <aside className="facets" aria-label="Facets">
      {facets
        ?.filter((facet) => !fixed.includes(facet.field))
        .map((facet) => (
          <FacetList key={facet.field} facet={facet} search={search} onToggle={onToggle} />
        ))}
      {facets?.every((facet) => facet.values.length === 0) && (
        <p className="muted facet-more">No values in this range.</p>
      )}
      {!facets && <p className="muted facet-more">{failed ? "Counts cannot be had at the moment." : "Counting …"}</p>}
    </aside>
  );
}
