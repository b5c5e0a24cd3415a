// The few icons, drawn on a 16 by 16 grid. They never stand without words or a label.

const PATHS = {
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.3 10.3 14 14",
  clock: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Zm0 2.8V8l2.3 1.6",
  play: "M4.5 3v10l8-5z",
  pause: "M5 3v10M11 3v10",
  bookmark: "M4 2.5h8v11L8 10.6 4 13.5z",
  download: "M8 2v8m0 0L4.8 6.8M8 10l3.2-3.2M2.5 13.5h11",
  columns: "M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10",
  link: "M6.5 9.5l3-3M7 5l1.6-1.6a2.5 2.5 0 0 1 3.5 3.5L10.5 8.5M9 11l-1.6 1.6a2.5 2.5 0 0 1-3.5-3.5L5.5 7.5",
  close: "M4 4l8 8M12 4l-8 8",
  down: "M4 6l4 4 4-4",
  up: "M4 10l4-4 4 4",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  help: "M6 6.2a2 2 0 1 1 2.8 1.9c-.6.2-.8.6-.8 1.2M8 11.6v.2M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Z",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM8 1.2v1.4M8 13.4v1.4M1.2 8h1.4M13.4 8h1.4M3.2 3.2l1 1M11.8 11.8l1 1M12.8 3.2l-1 1M4.2 11.8l-1 1",
  moon: "M13 9.7A5.5 5.5 0 0 1 6.3 3 5.5 5.5 0 1 0 13 9.7Z",
  user: "M8 2.5a2.7 2.7 0 1 0 0 5.4 2.7 2.7 0 0 0 0-5.4ZM2.8 13.5c.6-2.4 2.6-3.6 5.2-3.6s4.6 1.2 5.2 3.6",
  warn: "M8 2.3 14.3 13.4H1.7zM8 6.4v3.4M8 11.5v.2",
  lock: "M4 7.2h8v6.3H4zM5.6 7.2V5.1a2.4 2.4 0 0 1 4.8 0v2.1",
  filter: "M2.5 3.5h11L9.4 8.4v4.4l-2.8-1.4v-3z",
  zoomOut: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.3 10.3 14 14M5 7h4",
  trash: "M3 4.5h10M6 4.5v-2h4v2M4.5 4.5l.6 9h5.8l.6-9",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
