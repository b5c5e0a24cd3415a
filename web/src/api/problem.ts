// Why a call failed, in the words of RFC 9457, whether the API said it or the network did.
import type { ProblemDocument } from "./schema";

export const UNREACHABLE = "urn:crowsnest:problem:unreachable";
export const UNAUTHENTICATED = "urn:crowsnest:problem:unauthenticated";

type ProblemBody = Pick<ProblemDocument, "type" | "title" | "status"> & Partial<ProblemDocument>;

export class Problem extends Error {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly hint: string;
  readonly retryAfterSeconds: number | null;

  constructor(body: ProblemBody, retryAfterSeconds: number | null = null) {
    super(body.detail ?? body.title);
    this.name = "Problem";
    this.type = body.type;
    this.title = body.title;
    this.status = body.status;
    this.detail = body.detail ?? "";
    this.hint = body.hint ?? "";
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** Whether the same call may succeed a little later without the person changing anything. */
  get passes(): boolean {
    // 501 is what this stack was made without.
    return this.status === 0 || this.status === 429 || (this.status >= 500 && this.status !== 501);
  }
}

export function unreachable(): Problem {
  return new Problem({
    type: UNREACHABLE,
    title: "The API does not answer",
    status: 0,
    detail: "Trading is not affected: strategies go on and their records wait in their own queue.",
    hint: "The viewer tries again by itself. On the machine, `make status` shows what is down.",
  });
}

function isProblem(body: unknown): body is ProblemBody {
  return typeof body === "object" && body !== null && "title" in body && "type" in body;
}

/** The problem that an answer tells of; a gateway's own error page has no problem+json body. */
export function problemOf(response: Response, body: unknown): Problem {
  const retry = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const retryAfterSeconds = Number.isFinite(retry) ? retry : null;
  if (isProblem(body)) return new Problem({ ...body, status: response.status }, retryAfterSeconds);
  if (response.status >= 502 && response.status <= 504) return unreachable();
  return new Problem(
    {
      type: "about:blank",
      title: `The server answered ${response.status}`,
      status: response.status,
      detail: response.statusText,
      hint: response.status === 401 ? "Log in again." : "Try again; if it stays, look at the log of the API.",
    },
    retryAfterSeconds,
  );
}

/** Any thrown value as a problem; an aborted call is none and stays what it is. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem({
    type: "about:blank",
    title: "The viewer met an error of its own",
    status: -1,
    detail: error instanceof Error ? error.message : String(error),
    hint: "Reload the page. If it happens again, please report it with this text.",
  });
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
