// Columns and downloads.
import { type FormEvent, useState } from "react";
import { type LogParameters, queryString } from "../api/client";
import { prefer, usePreferences } from "../preferences";
import { Menu } from "../ui/Menu";
import { columnLabel, KNOWN_FIELDS } from "./columns";

const EXPORT_ROWS = 100_000;

interface ColumnsProps {
  columns: readonly string[];
  /** Fields of the records on screen. */
  seen: readonly string[];
  onChange: (columns: string[]) => void;
}

function ColumnsPanel({ columns, seen, onChange }: ColumnsProps) {
  const { inlineFields } = usePreferences();
  const [extra, setExtra] = useState("");
  const fields = [...new Set([...columns, ...KNOWN_FIELDS, ...seen])];

  function toggle(field: string) {
    onChange(columns.includes(field) ? columns.filter((one) => one !== field) : [...columns, field]);
  }

  function add(event: FormEvent) {
    event.preventDefault();
    const field = extra.trim();
    if (field && !columns.includes(field)) onChange([...columns, field]);
    setExtra("");
  }

  return (
    <div className="columns-panel">
      <label className="check">
        <input
          type="checkbox"
          checked={inlineFields}
          onChange={(event) => prefer({ inlineFields: event.target.checked })}
        />
        Other fields behind the message
      </label>
      <fieldset className="columns-list">
        <legend>Columns, in the order they are chosen</legend>
        {fields.map((field) => (
          <label className="check" key={field}>
            <input type="checkbox" checked={columns.includes(field)} onChange={() => toggle(field)} />
            <span className="mono">{columnLabel(field)}</span>
          </label>
        ))}
      </fieldset>
      <form onSubmit={add} className="views-form">
        <label>
          Another field
          <input
            value={extra}
            onChange={(event) => setExtra(event.target.value)}
            autoComplete="off"
            spellCheck={false}
          />
        </label>
        <button type="submit" className="button">
          Add
        </button>
      </form>
    </div>
  );
}

export function ColumnsMenu(props: ColumnsProps) {
  return (
    <Menu label="Columns" icon="columns" name="Columns" align="right">
      {() => <ColumnsPanel {...props} />}
    </Menu>
  );
}

/** Always in the file, before the columns that were chosen. */
const CSV_COLUMNS = ["_time", "level", "source", "strategy_id", "container_name"];

interface DownloadProps {
  parameters: LogParameters;
  columns: readonly string[];
}

function exportQuery(format: "ndjson" | "csv", { parameters, columns }: DownloadProps): string {
  const csv = [...new Set([...CSV_COLUMNS, ...columns, "_msg"])].join();
  return queryString({ ...parameters, format, limit: EXPORT_ROWS, ...(format === "csv" ? { columns: csv } : {}) });
}

export function DownloadMenu(props: DownloadProps) {
  return (
    <Menu label="Download" icon="download" name="Download" align="right">
      {(close) => (
        <>
          {(["ndjson", "csv"] as const).map((format) => (
            <a
              key={format}
              className="menu-item"
              href={`/api/logs/export?${exportQuery(format, props)}`}
              download
              onClick={() => close()}
            >
              {format.toUpperCase()}
            </a>
          ))}
          <p className="menu-note muted">
            All records of this search and range, at most 100,000, as they are in the store.
          </p>
        </>
      )}
    </Menu>
  );
}
