// The list: only the lines in view are in the page. Every line has the same height, so a position is a multiplication
// and a hundred thousand records cost no more than fifty.
import {
  type CSSProperties,
  type KeyboardEvent,
  type MouseEvent,
  type ReactNode,
  type RefObject,
  useCallback,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { columnLabel, gridTemplate, leastWidth } from "./columns";
import type { Item } from "./items";
import { LogRow, type RowLook, rowId } from "./LogRow";
import type { LogStream } from "./LogStream";
import { dateText } from "./time";

export const ROW_PX = 22;
const HEADER_PX = 26;
const OVERSCAN = 4;
/** How many lines before the end the next page is asked for. */
const NEAR_END = 60;

export interface ListHandle {
  scrollTo(position: number): void;
  scrollToTop(): void;
  focus(): void;
  pageSize(): number;
}

interface ListProps {
  stream: LogStream;
  look: RowLook;
  activeKey: string | null;
  handle: RefObject<ListHandle | null>;
  /** Whether lines keep their number: not while new ones push them down. */
  still: boolean;
  busy: boolean;
  foot: ReactNode;
  onScrolled: (scrolled: boolean) => void;
  onNearEnd: () => void;
  onPick: (item: Item) => void;
  onFill: (key: string) => void;
  onKey: (event: KeyboardEvent) => void;
}

export function LogList({ stream, look, activeKey, handle, still, busy, foot, ...on }: ListProps) {
  const { onScrolled, onNearEnd } = on;
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const { length } = useSyncExternalStore(stream.subscribe, stream.getState);

  const visible = Math.ceil((height - HEADER_PX) / ROW_PX);
  const first = Math.max(0, Math.min(top, length - 1) - OVERSCAN);
  const last = Math.min(length, top + visible + OVERSCAN);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setHeight(element.clientHeight));
    observer.observe(element);
    setHeight(element.clientHeight);
    return () => observer.disconnect();
  }, []);

  useImperativeHandle(
    handle,
    () => ({
      scrollTo(position) {
        const element = box.current;
        if (!element) return;
        const y = position * ROW_PX;
        const room = element.clientHeight - HEADER_PX - ROW_PX;
        if (y < element.scrollTop) element.scrollTop = y;
        else if (y > element.scrollTop + room) element.scrollTop = y - room;
      },
      scrollToTop() {
        if (box.current) box.current.scrollTop = 0;
      },
      focus() {
        box.current?.focus({ preventScroll: true });
      },
      pageSize: () => Math.max(1, Math.floor(((box.current?.clientHeight ?? 600) - HEADER_PX) / ROW_PX) - 1),
    }),
    [],
  );

  const onScroll = useCallback(() => {
    const scrollTop = box.current?.scrollTop ?? 0;
    setTop(Math.floor(scrollTop / ROW_PX));
    onScrolled(scrollTop > 0);
  }, [onScrolled]);

  useEffect(() => {
    if (length > 0 && top + visible + NEAR_END >= length) onNearEnd();
  }, [length, top, visible, onNearEnd]);

  function onClick(event: MouseEvent) {
    const target = event.target as HTMLElement;
    const fill = target.closest<HTMLElement>("[data-fill]")?.dataset.fill;
    if (fill) return on.onFill(fill);
    // Whoever selects text does not want a drawer.
    if (getSelection()?.type === "Range") return;
    const key = target.closest<HTMLElement>("[data-key]")?.dataset.key;
    if (!key) return;
    for (let position = first; position < last; position += 1) {
      const item = stream.at(position);
      if (item?.key === key) return on.onPick(item);
    }
  }

  const rows: ReactNode[] = [];
  let activeShown = false;
  for (let position = first; position < last; position += 1) {
    const item = stream.at(position);
    if (!item) break;
    const active = item.key === activeKey;
    activeShown ||= active;
    rows.push(
      <LogRow key={item.key} item={item} look={look} active={active} index={still ? position + 2 : undefined} />,
    );
  }
  const topMs = stream.at(Math.min(top, length - 1))?.ms;
  const style = {
    "--grid": gridTemplate(look.columns),
    "--least": leastWidth(look.columns),
    "--row": `${ROW_PX}px`,
    "--header": `${HEADER_PX}px`,
  };

  return (
    <div
      ref={box}
      className={busy ? "list list-busy" : "list"}
      role="grid"
      aria-label="Log records, newest first"
      aria-rowcount={still ? length + 1 : -1}
      aria-colcount={look.columns.length + 3}
      aria-busy={busy}
      aria-activedescendant={activeShown && activeKey ? rowId(activeKey) : undefined}
      tabIndex={0}
      style={style as CSSProperties}
      onScroll={onScroll}
      onClick={onClick}
      onKeyDown={on.onKey}
    >
      <div role="rowgroup" className="list-head">
        <div role="row" className="row row-head" aria-rowindex={1}>
          <span role="columnheader" className="cell cell-time">
            {topMs ? dateText(topMs, look.zone) : "time"} <span className="zone">{look.zone.label}</span>
          </span>
          <span role="columnheader" className="cell">
            <span className="hidden">level</span>
          </span>
          {look.columns.map((field) => (
            <span role="columnheader" className="cell" key={field} title={field}>
              {columnLabel(field)}
            </span>
          ))}
          <span role="columnheader" className="cell">
            message
          </span>
        </div>
      </div>
      <div role="rowgroup" className="list-body" style={{ height: length * ROW_PX }}>
        <div role="presentation" className="list-slice" style={{ transform: `translateY(${first * ROW_PX}px)` }}>
          {rows}
        </div>
      </div>
      <div role="rowgroup" className="list-foot">
        <div role="row" className="row-foot">
          <div role="gridcell">{foot}</div>
        </div>
      </div>
    </div>
  );
}
