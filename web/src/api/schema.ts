// The HTTP contract as types, in the shape that openapi-typescript generates. Nothing else in web/ describes an answer
// of the API, so this file can be replaced by the one generated from the API's OpenAPI document.

export interface components {
  schemas: {
    Problem: { type: string; title: string; status: number; detail?: string; hint?: string };
    Credentials: { username: string; password: string };
    Session: { name: string; role: "viewer" | "operator"; strategies: string[] | null; csrf_token: string };
    LogRecord: { _time: string; _msg: string; _stream_id?: string; level?: string; [field: string]: unknown };
    Clamp: { what: string; asked: number; given: number };
    Applied: { q: string; start: string; end: string; limit?: number; strategy_id?: string | null };
    QueryAnswer: {
      rows: components["schemas"]["LogRecord"][];
      applied: components["schemas"]["Applied"];
      clamped: components["schemas"]["Clamp"][];
      truncated: boolean;
      next_before: string | null;
      took_ms: number;
    };
    Bucket: { start: string; total: number; levels: Record<string, number> };
    HitsAnswer: {
      step_seconds: number;
      buckets: components["schemas"]["Bucket"][];
      applied: components["schemas"]["Applied"];
      clamped: components["schemas"]["Clamp"][];
    };
    Facet: { field: string; values: { value: string; hits: number }[]; more: boolean };
    FacetsAnswer: { facets: components["schemas"]["Facet"][]; applied: components["schemas"]["Applied"] };
    ContextAnswer: { rows: components["schemas"]["LogRecord"][]; anchor: number };
    Gap: {
      time: string;
      strategy_id: string | null;
      boot: string;
      first_seq: number;
      last_seq: number;
      count: number;
      reason: string;
    };
    LossAnswer: {
      lost_total: number;
      gaps: components["schemas"]["Gap"][];
      checked: { start: string; end: string };
    };
    Health: {
      store: "ok" | "unavailable" | "read_only";
      newest_record_age_seconds: number | null;
      version: string | null;
    };
    ViewQuery: {
      q?: string;
      start?: string | null;
      end?: string | null;
      /** Values by field; a field that begins with `!` leaves its values out. */
      filters?: Record<string, string[]>;
      columns?: string[];
      timezone?: string | null;
    };
    View: { name: string; query: components["schemas"]["ViewQuery"]; updated: string };
  };
}

type Schemas = components["schemas"];

/** Query parameters that every log endpoint takes. */
export interface LogParameters {
  q?: string;
  start?: string;
  end?: string;
  strategy_id?: string;
  level?: string[];
  source?: string[];
  container_name?: string[];
}

interface Headers {
  [name: string]: unknown;
}
interface Answer<T> {
  headers: Headers;
  content: { "application/json": T };
}
interface Failure {
  headers: Headers;
  content: { "application/problem+json": Schemas["Problem"] };
}
interface NoContent {
  headers: Headers;
  content?: never;
}
interface Parameters<Query, Path> {
  query?: Query;
  path?: Path;
  header?: never;
  cookie?: never;
}
interface Get<Query, Body> {
  get: {
    parameters: Parameters<Query, never>;
    requestBody?: never;
    responses: { 200: Answer<Body>; default: Failure };
  };
}

export interface paths {
  "/api/auth/login": {
    post: {
      parameters: Parameters<never, never>;
      requestBody: { content: { "application/json": Schemas["Credentials"] } };
      responses: { 200: Answer<Schemas["Session"]>; default: Failure };
    };
  };
  "/api/auth/logout": {
    post: {
      parameters: Parameters<never, never>;
      requestBody?: never;
      responses: { 204: NoContent; default: Failure };
    };
  };
  "/api/auth/me": Get<never, Schemas["Session"]>;
  "/api/logs/query": Get<LogParameters & { limit?: number; before?: string }, Schemas["QueryAnswer"]>;
  "/api/logs/hits": Get<LogParameters & { step?: string }, Schemas["HitsAnswer"]>;
  "/api/logs/facets": Get<LogParameters & { fields?: string; limit?: number }, Schemas["FacetsAnswer"]>;
  "/api/logs/context": Get<
    {
      time: string;
      stream_id: string;
      before?: number;
      after?: number;
      strategy_id?: string;
      within?: "origin" | "stream";
    },
    Schemas["ContextAnswer"]
  >;
  "/api/logs/loss": Get<{ start?: string; end?: string; strategy_id?: string }, Schemas["LossAnswer"]>;
  "/api/logs/health": Get<never, Schemas["Health"]>;
  "/api/views": Get<never, Schemas["View"][]>;
  "/api/views/{name}": {
    put: {
      parameters: { query?: never; path: { name: string }; header?: never; cookie?: never };
      requestBody: { content: { "application/json": Schemas["ViewQuery"] } };
      responses: { 200: Answer<Schemas["View"]>; 204: NoContent; default: Failure };
    };
    delete: {
      parameters: { query?: never; path: { name: string }; header?: never; cookie?: never };
      requestBody?: never;
      responses: { 204: NoContent; default: Failure };
    };
  };
}
