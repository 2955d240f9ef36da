/**
 * BitLoot's admin API for TypeScript. Paths, questions and answers are typed from `openapi.json` (`schema.ts`, made by
 * `make sdk`); this file only adds how to say who asks, and turns problem documents into errors.
 */
import createFetchClient, { type Client, type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema";

export type { components, operations, paths } from "./schema";

/** The models of the API by name: `Model<"WholeOrder">`. */
export type Model<Name extends keyof components["schemas"]> = components["schemas"][Name];

/** What a path can be asked with: `Query<"/admin/orders">`. */
export type Query<Path extends QueryPath> = NonNullable<paths[Path]["get"]["parameters"]["query"]>;

/** The paths that take a query. */
export type QueryPath = {
  [P in keyof paths]: paths[P] extends { get: { parameters: { query?: object } } } ? P : never;
}[keyof paths];

export type AdminClient = Client<paths>;

export interface AdminOptions {
  /** Where the API is, with the path below which it is served, if any. Default: where the page came from. */
  readonly baseUrl?: string;
  /** A bearer token, asked for at each request. Without one the session cookie speaks for the user. */
  readonly token?: () => string | null;
  /** The session's CSRF token, sent with all that changes something. */
  readonly csrfToken?: () => string | null;
  readonly fetch?: (request: Request) => Promise<Response>;
}

/** A parameter that was refused, and why. */
export interface Refusal {
  readonly parameter: string;
  readonly detail: string;
}

/** A request that was answered with a problem document (RFC 9457), or not answered at all (`status` 0). */
export class ProblemError extends Error {
  override readonly name = "ProblemError";

  constructor(
    /** The HTTP status; 0 when no answer came, so that nobody knows whether it was done. */
    readonly status: number,
    readonly title: string,
    readonly detail: string | null,
    readonly errors: readonly Refusal[] = [],
  ) {
    super(detail ?? title);
  }
}

/** Return a client. Its methods never throw for an answer: `answered` does. */
export function createAdminClient(options: AdminOptions = {}): AdminClient {
  const client = createFetchClient<paths>({
    baseUrl: options.baseUrl ?? "",
    credentials: "same-origin",
    ...(options.fetch ? { fetch: options.fetch } : {}),
  });
  client.use(signing(options));
  return client;
}

function signing(options: AdminOptions): Middleware {
  return {
    onRequest({ request }) {
      const token = options.token?.();
      if (token) request.headers.set("Authorization", `Bearer ${token}`);
      const csrf = options.csrfToken?.();
      if (csrf && request.method !== "GET") request.headers.set("X-CSRF-Token", csrf);
      return request;
    },
  };
}

interface Outcome<T> {
  readonly data?: T | undefined;
  readonly error?: unknown;
  readonly response: Response;
}

/** Return what was answered. Raises `ProblemError`, also when no answer came. */
export async function answered<T>(asking: Promise<Outcome<T>>): Promise<T> {
  let outcome: Outcome<T>;
  try {
    outcome = await asking;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ProblemError(0, "No answer came.", error instanceof Error ? error.message : null);
  }
  if (outcome.response.ok) return outcome.data as T;
  throw asProblem(outcome.response.status, outcome.error);
}

/** Read a problem document that may be none: proxies answer, too. */
export function asProblem(status: number, body: unknown): ProblemError {
  const document = isObject(body) ? body : {};
  const errors = Array.isArray(document["errors"]) ? document["errors"].filter(isRefusal) : [];
  return new ProblemError(
    status,
    text(document["title"]) ?? `HTTP ${String(status)}`,
    text(document["detail"]),
    errors,
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isRefusal(value: unknown): value is Refusal {
  return isObject(value) && typeof value["parameter"] === "string" && typeof value["detail"] === "string";
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
