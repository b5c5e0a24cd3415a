// How far back: an age that moves along, or two fixed times of the chosen zone.
import { type FormEvent, useState } from "react";
import { Menu } from "../ui/Menu";
import { MAX_RANGE_HOURS, type Search } from "./search";
import { ageMs, dateClockText, dateText, fromInput, rfc3339, shortClockText, type Window, type Zone } from "./time";

const AGES: readonly (readonly [age: string, label: string])[] = [
  ["5m", "Last 5 minutes"],
  ["15m", "Last 15 minutes"],
  ["1h", "Last hour"],
  ["3h", "Last 3 hours"],
  ["6h", "Last 6 hours"],
  ["12h", "Last 12 hours"],
  ["24h", "Last 24 hours"],
];

interface RangeProps {
  search: Search;
  window: Window | null;
  zone: Zone;
  onChange: (change: Pick<Search, "start" | "end">) => void;
}

function labelOf(search: Search, window: Window | null, zone: Zone): string {
  if (!search.end && ageMs(search.start) !== null) {
    return AGES.find(([age]) => age === search.start)?.[1] ?? `Last ${search.start}`;
  }
  if (!window) return "Fixed time";
  const sameDay = dateText(window.startMs, zone) === dateText(window.endMs, zone);
  const end = sameDay ? shortClockText(window.endMs, zone) : dateClockText(window.endMs, zone);
  return `${dateText(window.startMs, zone)} ${shortClockText(window.startMs, zone)} – ${end}`;
}

/** Typed or pasted: the browser's own picker shows the clock of its language, and 9:30 PM is easily chosen for 9:30. */
function TimeInput({ name, ms, zone }: { name: string; ms: number | undefined; zone: Zone }) {
  return (
    <input
      id={`range-${name}`}
      name={name}
      className="mono"
      size={20}
      placeholder="2026-11-21 14:30:00"
      autoComplete="off"
      spellCheck={false}
      defaultValue={ms === undefined ? "" : dateClockText(ms, zone)}
    />
  );
}

function FixedRange({ window, zone, onChange, close }: Omit<RangeProps, "search"> & { close: () => void }) {
  const [error, setError] = useState("");

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const from = fromInput(String(form.get("from")), zone);
    const to = fromInput(String(form.get("to")), zone);
    if (from === null || to === null) return setError("Give both times, as 2026-11-21 14:30:00.");
    if (from >= to) return setError("The first time has to be before the second.");
    if (to - from > MAX_RANGE_HOURS * 3_600_000) return setError(`At most ${MAX_RANGE_HOURS} hours at once.`);
    onChange({ start: rfc3339(from), end: rfc3339(to) });
    close();
  }

  return (
    <form className="range-form" onSubmit={submit}>
      <label htmlFor="range-from">
        From
        <TimeInput name="from" ms={window?.startMs} zone={zone} />
      </label>
      <label htmlFor="range-to">
        To
        <TimeInput name="to" ms={window?.endMs} zone={zone} />
      </label>
      <p className={error ? "form-error" : "muted"} role={error ? "alert" : undefined}>
        {error || `24-hour clock, ${zone.label}`}
      </p>
      <button type="submit" className="button button-main">
        Show
      </button>
    </form>
  );
}

export function RangeMenu({ search, window, zone, onChange }: RangeProps) {
  return (
    <Menu
      label={labelOf(search, window, zone)}
      icon="clock"
      name={`Range: ${labelOf(search, window, zone)}`}
      className="range-menu"
    >
      {(close) => (
        <div className="range-panel">
          <ul className="menu-list">
            {AGES.map(([age, label]) => (
              <li key={age}>
                <button
                  type="button"
                  className="menu-item"
                  aria-pressed={!search.end && search.start === age}
                  onClick={() => {
                    onChange({ start: age, end: "" });
                    close();
                  }}
                >
                  {label}
                </button>
              </li>
            ))}
          </ul>
          <FixedRange window={window} zone={zone} onChange={onChange} close={close} />
        </div>
      )}
    </Menu>
  );
}
