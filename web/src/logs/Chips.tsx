// What narrows the search, one chip each.
import { Icon } from "../ui/Icon";
import { columnLabel } from "./columns";
import type { Filter } from "./logsql";
import type { Scope, Search } from "./search";

interface ChipsProps {
  search: Search;
  scope: Scope | null;
  onRemove: (filter: Filter) => void;
  onFlip: (filter: Filter) => void;
  onLeaveStrategy: () => void;
  onClear: () => void;
}

export function Chips({ search, scope, onRemove, onFlip, onLeaveStrategy, onClear }: ChipsProps) {
  const free = !scope && search.strategyId;
  if (!search.filters.length && !free && !scope) return null;
  return (
    <ul className="chips" aria-label="Filters">
      {scope && (
        <li className="chip chip-fixed">
          <Icon name="lock" />
          <span>
            strategy = <b>{scope.strategyId}</b>
          </span>
        </li>
      )}
      {free && (
        <li className="chip">
          <span className="chip-text">
            strategy = <b>{search.strategyId}</b>
          </span>
          <button type="button" aria-label={`Remove filter strategy = ${search.strategyId}`} onClick={onLeaveStrategy}>
            <Icon name="close" />
          </button>
        </li>
      )}
      {search.filters.map((filter) => {
        const text = `${columnLabel(filter.field)} ${filter.not ? "≠" : "="} ${filter.value}`;
        return (
          <li className={filter.not ? "chip chip-not" : "chip"} key={text}>
            <button
              type="button"
              className="chip-text"
              title={filter.not ? "Show only these" : "Leave these out"}
              onClick={() => onFlip(filter)}
            >
              {columnLabel(filter.field)} {filter.not ? "≠" : "="} <b>{filter.value}</b>
            </button>
            <button type="button" aria-label={`Remove filter ${text}`} onClick={() => onRemove(filter)}>
              <Icon name="close" />
            </button>
          </li>
        );
      })}
      {search.filters.length + (free ? 1 : 0) > 1 && (
        <li>
          <button type="button" className="link-button" onClick={onClear}>
            Remove all
          </button>
        </li>
      )}
    </ul>
  );
}
