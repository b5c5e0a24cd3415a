// Calls of the trading, budget, audit and service pages.
import { client, guarded, within } from "./client";
import type {
  AuditRow,
  BookFilter,
  Budget,
  BudgetChange,
  Choices,
  Fill,
  Order,
  OrderStory,
  Page,
  Position,
  Service,
  Signal,
} from "./schema";

export type {
  AuditRow,
  BookFilter,
  Budget,
  BudgetChange,
  Choices,
  Fill,
  Order,
  OrderStory,
  Page,
  Position,
  Raise,
  Service,
  Signal,
} from "./schema";

const PAGE_ROWS = 100;
/** Ending and starting a container takes as long as it is given to end in order. */
const RESTART_MS = 120_000;

function pageQuery(filter: BookFilter, before: string | null) {
  return { ...filter, limit: PAGE_ROWS, ...(before ? { before } : {}) };
}

export function listOrders(filter: BookFilter, before: string | null, signal: AbortSignal): Promise<Page<Order>> {
  const query = pageQuery(filter, before);
  return guarded(client.GET("/api/trading/orders", { params: { query }, signal: within(signal) }));
}

export function listFills(filter: BookFilter, before: string | null, signal: AbortSignal): Promise<Page<Fill>> {
  const query = pageQuery(filter, before);
  return guarded(client.GET("/api/trading/fills", { params: { query }, signal: within(signal) }));
}

export function listPositions(
  filter: Omit<BookFilter, "client_order_id">,
  before: string | null,
  signal: AbortSignal,
): Promise<Page<Position>> {
  const query = pageQuery(filter, before);
  return guarded(client.GET("/api/trading/positions", { params: { query }, signal: within(signal) }));
}

export function listSignals(
  filter: Omit<BookFilter, "client_order_id">,
  before: string | null,
  signal: AbortSignal,
): Promise<Page<Signal>> {
  const query = pageQuery(filter, before);
  return guarded(client.GET("/api/trading/signals", { params: { query }, signal: within(signal) }));
}

export function findChoices(signal: AbortSignal): Promise<Choices> {
  return guarded(client.GET("/api/trading/choices", { signal: within(signal) }));
}

export function findOrder(runId: string, orderId: string, signal: AbortSignal): Promise<OrderStory> {
  const path = { run_id: runId, client_order_id: orderId };
  return guarded(
    client.GET("/api/trading/orders/{run_id}/{client_order_id}", { params: { path }, signal: within(signal) }),
  );
}

export async function listBudgets(signal: AbortSignal): Promise<Budget[]> {
  return (await guarded(client.GET("/api/budgets", { signal: within(signal) }))).budgets;
}

export function listChanges(
  strategyId: string,
  before: number | null,
  signal: AbortSignal,
): Promise<Page<BudgetChange, number>> {
  const params = { path: { strategy_id: strategyId }, query: before ? { before } : {} };
  return guarded(client.GET("/api/budgets/{strategy_id}/changes", { params, signal: within(signal) }));
}

/** Lowers a cap, or asks for a raise; says whether it holds already. */
export async function changeBudget(budget: Budget, capUsd: string, reason: string): Promise<boolean> {
  const body = { cap_usd: capUsd, version: budget.version, reason };
  const params = { path: { strategy_id: budget.strategy_id } };
  return (await guarded(client.PUT("/api/budgets/{strategy_id}", { params, body, signal: within() }))).applied;
}

export async function decideRaise(id: number, verdict: "confirm" | "reject"): Promise<void> {
  const params = { path: { request_id: id } };
  if (verdict === "confirm") {
    await guarded(client.POST("/api/budgets/raises/{request_id}/confirm", { params, signal: within() }));
  } else {
    await guarded(client.POST("/api/budgets/raises/{request_id}/reject", { params, signal: within() }));
  }
}

export function listAudit(before: number | null, signal: AbortSignal): Promise<Page<AuditRow, number>> {
  const query = before ? { before } : {};
  return guarded(client.GET("/api/audit", { params: { query }, signal: within(signal) }));
}

export async function listServices(signal: AbortSignal): Promise<Service[]> {
  return (await guarded(client.GET("/api/services", { signal: within(signal) }))).services;
}

export async function restartService(component: string, reason: string): Promise<number> {
  const params = { path: { component } };
  const limit = AbortSignal.timeout(RESTART_MS);
  const answer = await guarded(
    client.POST("/api/services/{component}/restart", { params, body: { reason }, signal: limit }),
  );
  return answer.took_ms;
}
