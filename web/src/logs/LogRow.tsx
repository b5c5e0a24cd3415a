// One line of the list. It is drawn once for as long as its item stays the same: a live tail only adds and removes lines.
import { memo, type ReactNode } from "react";
import { inlineFields, isNumeric } from "./columns";
import { FILL_ACTION, fieldText, type Item, type LostItem, levelOf, type RowItem, type SkippedItem } from "./items";
import { LevelMark } from "./Level";
import { clockText, type Zone } from "./time";

/** A line has room for far less; the whole text is in the drawer. */
const MESSAGE_CHARACTERS = 600;

export interface RowLook {
  columns: readonly string[];
  zone: Zone;
  /** Terms to highlight, or null. */
  terms: RegExp | null;
  inline: boolean;
}

interface RowProps {
  item: Item;
  look: RowLook;
  active: boolean;
  index: number | undefined;
}

const whole = new Intl.NumberFormat("en");

export const rowId = (key: string) => `record-${key}`;

function Highlighted({ text, terms }: { text: string; terms: RegExp | null }): ReactNode {
  if (!terms) return text;
  // With a capturing group every second part is a match.
  return text.split(terms).map((part, index) =>
    // biome-ignore lint/suspicious/noArrayIndexKey: parts of one constant text
    index % 2 ? <mark key={index}>{part}</mark> : part,
  );
}

function RecordCells({ item, look }: { item: RowItem; look: RowLook }) {
  const { record } = item;
  const message = fieldText(record._msg);
  const lines = message.split("\n").length - 1 + fieldText(record.error_traceback).split("\n").length - 1;
  const fields = look.inline ? inlineFields(record, look.columns) : "";
  return (
    <>
      <span role="gridcell" className="cell cell-time">
        {record._time ? clockText(item.ms, look.zone) : "–"}
      </span>
      <span role="gridcell" className="cell">
        <LevelMark level={levelOf(record)} />
      </span>
      {look.columns.map((field) => {
        const value = fieldText(record[field]);
        return (
          <span role="gridcell" className={isNumeric(value) ? "cell cell-number" : "cell cell-field"} key={field}>
            {value}
          </span>
        );
      })}
      <span role="gridcell" className="cell cell-message">
        {record.action === FILL_ACTION && (
          <span className="fill-mark" title="Fill">
            ◆
          </span>
        )}
        <Highlighted text={message.slice(0, MESSAGE_CHARACTERS)} terms={look.terms} />
        {lines > 0 && <span className="more-lines">+{lines} lines</span>}
        {fields && <span className="inline-fields">{fields}</span>}
      </span>
    </>
  );
}

function LostCells({ item, look }: { item: LostItem; look: RowLook }) {
  return (
    <>
      <span role="gridcell" className="cell cell-time">
        {clockText(item.ms, look.zone)}
      </span>
      <span role="gridcell" className="cell cell-wide" aria-colspan={look.columns.length + 2}>
        <strong>{whole.format(item.count)} lost in the trading process</strong>{" "}
        {item.strategyId && `${item.strategyId}: `}
        {item.reason}, seq {whole.format(item.firstSeq)} to {whole.format(item.lastSeq)}; the rotated file may have them
      </span>
    </>
  );
}

function SkippedCells({ item, look }: { item: SkippedItem; look: RowLook }) {
  const count = item.count === null ? "Some" : whole.format(item.count);
  return (
    <>
      <span role="gridcell" className="cell cell-time">
        {clockText(item.ms, look.zone)}
      </span>
      <span role="gridcell" className="cell cell-wide" aria-colspan={look.columns.length + 2}>
        {count} skipped —{" "}
        <button type="button" className="link-button" data-fill={item.key} tabIndex={-1}>
          {item.state === "loading" ? "loading …" : item.state === "failed" ? "failed, try again" : "load"}
        </button>
      </span>
    </>
  );
}

function classOf(item: Item): string {
  if (item.kind !== "row") return `row row-${item.kind}`;
  const level = levelOf(item.record);
  return level === "ERROR" || level === "CRITICAL" ? `row row-${level}` : "row";
}

export const LogRow = memo(function LogRow({ item, look, active, index }: RowProps) {
  return (
    <div
      role="row"
      className={active ? `${classOf(item)} row-active` : classOf(item)}
      id={rowId(item.key)}
      data-key={item.key}
      aria-rowindex={index}
      aria-selected={active}
    >
      {item.kind === "row" && <RecordCells item={item} look={look} />}
      {item.kind === "lost" && <LostCells item={item} look={look} />}
      {item.kind === "skipped" && <SkippedCells item={item} look={look} />}
    </div>
  );
});
