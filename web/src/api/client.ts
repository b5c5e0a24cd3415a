// The typed client: every call to the API goes through here, except the live tail (live.ts) and downloads (links).
import createClient from "openapi-fetch";
import { isAbort, Problem, problemOf, UNAUTHENTICATED, unreachable } from "./problem";
import type {
  ContextAnswer,
  FacetsAnswer,
  Health,
  HitsAnswer,
  LogParameters,
  LossAnswer,
  paths,
  QueryAnswer,
  Session,
  View,
  ViewQuery,
} from "./schema";

export type {
  Bucket,
  Clamp,
  Facet,
  Gap,
  Health,
  HitsAnswer,
  LogParameters,
  LogRecord,
  QueryAnswer,
  Session,
  View,
  ViewQuery,
} from "./schema";

/** A little more than the API's own limit of 10 s, so that its answer, which says more, comes first. */
const TIMEOUT_MS = 15_000;

const session = { csrfToken: "", onExpired: () => {} };

export const client = createClient<paths>({ credentials: "same-origin" });
client.use({
  onRequest({ request }) {
    if (request.method !== "GET" && session.csrfToken) request.headers.set("X-CSRF-Token", session.csrfToken);
    return request;
  },
});

/** Call `listener` when the API says that the session has ended. */
export function onSessionExpired(listener: () => void): void {
  session.onExpired = listener;
}

export function sessionExpired(): void {
  session.csrfToken = "";
  session.onExpired();
}

interface Outcome<T> {
  data?: T | undefined;
  error?: unknown;
  response: Response;
}

async function unwrap<T>(call: Promise<Outcome<T>>): Promise<T> {
  let outcome: Outcome<T>;
  try {
    outcome = await call;
  } catch (error) {
    if (isAbort(error)) throw error;
    throw unreachable();
  }
  if (outcome.response.ok) return outcome.data as T;
  throw problemOf(outcome.response, outcome.error);
}

/** As `unwrap`, and an answer 401 ends the session in the viewer too. */
export async function guarded<T>(call: Promise<Outcome<T>>): Promise<T> {
  try {
    return await unwrap(call);
  } catch (error) {
    if (error instanceof Problem && error.status === 401) sessionExpired();
    throw error;
  }
}

export function within(signal?: AbortSignal): AbortSignal {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  return signal ? AbortSignal.any([signal, limit]) : limit;
}

export async function login(username: string, password: string): Promise<Session> {
  const answer = await unwrap(client.POST("/api/auth/login", { body: { username, password }, signal: within() }));
  session.csrfToken = answer.csrf_token;
  return answer;
}

export async function logout(): Promise<void> {
  await unwrap(client.POST("/api/auth/logout", { signal: within() }));
  sessionExpired();
}

/** Who is logged in; null when nobody is. */
export async function whoAmI(signal?: AbortSignal): Promise<Session | null> {
  try {
    const answer = await unwrap(client.GET("/api/auth/me", { signal: within(signal) }));
    session.csrfToken = answer.csrf_token;
    return answer;
  } catch (error) {
    if (error instanceof Problem && (error.status === 401 || error.type === UNAUTHENTICATED)) return null;
    throw error;
  }
}

export function queryLogs(
  parameters: LogParameters & { limit?: number; before?: string },
  signal?: AbortSignal,
): Promise<QueryAnswer> {
  const call = client.GET("/api/logs/query", { params: { query: parameters }, signal: within(signal) });
  // OpenAPI knows of rows only that they are objects.
  return guarded(call) as Promise<QueryAnswer>;
}

export function countHits(parameters: LogParameters, signal?: AbortSignal): Promise<HitsAnswer> {
  return guarded(client.GET("/api/logs/hits", { params: { query: parameters }, signal: within(signal) }));
}

export function findFacets(
  parameters: LogParameters & { fields: string; limit: number },
  signal?: AbortSignal,
): Promise<FacetsAnswer> {
  return guarded(client.GET("/api/logs/facets", { params: { query: parameters }, signal: within(signal) }));
}

export function contextOf(
  place: {
    time: string;
    stream_id: string;
    before: number;
    after: number;
    within: "origin" | "stream";
    strategy_id?: string;
  },
  signal?: AbortSignal,
): Promise<ContextAnswer> {
  const call = client.GET("/api/logs/context", { params: { query: place }, signal: within(signal) });
  return guarded(call) as Promise<ContextAnswer>;
}

export function findLoss(
  parameters: { start?: string; end?: string; strategy_id?: string },
  signal?: AbortSignal,
): Promise<LossAnswer> {
  return guarded(client.GET("/api/logs/loss", { params: { query: parameters }, signal: within(signal) }));
}

/** How the store is; an answer 503 says it, too, and is no failure of this call. */
export function health(signal?: AbortSignal): Promise<Health> {
  const call = client.GET("/api/logs/health", { signal: within(signal) }).then((outcome) => {
    const body: unknown = outcome.error;
    return isHealth(body) ? { data: body, response: Response.json(body) } : outcome;
  });
  return guarded(call);
}

function isHealth(body: unknown): body is Health {
  return typeof body === "object" && body !== null && "store" in body;
}

export function listViews(signal?: AbortSignal): Promise<View[]> {
  return guarded(client.GET("/api/views", { signal: within(signal) }));
}

export async function saveView(name: string, query: ViewQuery): Promise<void> {
  await guarded(client.PUT("/api/views/{name}", { params: { path: { name } }, body: query, signal: within() }));
}

export async function deleteView(name: string): Promise<void> {
  await guarded(client.DELETE("/api/views/{name}", { params: { path: { name } }, signal: within() }));
}

/** Parameters as the query string that the tail and downloads need; lists are repeated. */
export function queryString(parameters: Record<string, string | number | string[] | undefined>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) search.append(name, String(one));
  }
  return search.toString();
}
