// The boundary to the API: what the viewer calls the shapes that its OpenAPI description has. `generated.ts` is written from
// that by `make web-types`; nothing else in web/ imports it.
import type { components } from "./generated";

export type { paths } from "./generated";

type Schemas = components["schemas"];

/** A record as the store has it; every value but those named is up to who logged it. */
export interface LogRecord {
  _time: string;
  _msg: string;
  _stream_id?: string;
  level?: string;
  [field: string]: unknown;
}

export type Session = Schemas["Me"];
export type QueryAnswer = Omit<Schemas["QueryAnswer"], "rows"> & { rows: LogRecord[] };
export type ContextAnswer = Omit<Schemas["ContextAnswer"], "rows"> & { rows: LogRecord[] };
export type HitsAnswer = Schemas["HitsAnswer"];
export type FacetsAnswer = Schemas["FacetsAnswer"];
export type LossAnswer = Schemas["LossAnswer"];
export type Bucket = Schemas["Bucket"];
export type Facet = Schemas["Facet"];
export type Gap = Schemas["Gap"];
export type Clamp = Schemas["Clamped"];
export type Health = Schemas["StoreHealth"];
export type View = Schemas["View"];
export type ViewQuery = Schemas["ViewQuery"];
export type Order = Schemas["Order"];
export type Fill = Schemas["Fill"];
export type Position = Schemas["Position"];
export type Signal = Schemas["Signal"];
export type OrderStory = Schemas["OrderStory"];
export type Choices = Schemas["Choices"];
export type Budget = Schemas["Budget"];
export type Raise = Schemas["Raise"];
export type BudgetChange = Schemas["Change"];
export type AuditRow = Schemas["AuditRow"];
export type Service = Schemas["Service"];
export type ProblemDocument = Schemas["ProblemDocument"];

/** Query parameters that query, tail, hits, facets and export share. */
export interface LogParameters {
  q?: string;
  start?: string;
  end?: string;
  strategy_id?: string;
  level?: string[];
  source?: string[];
  container_name?: string[];
}

/** Rows of a book, newest first, and where the next page begins. */
export interface Page<Row, Cursor = string> {
  rows: Row[];
  next: Cursor | null;
}

/** What the rows of a book are narrowed to; empty is all. */
export interface BookFilter {
  strategy_id?: string;
  instrument?: string;
  run_id?: string;
  client_order_id?: string;
}
