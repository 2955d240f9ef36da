/**
 * Who is signed in. A session lives in a cookie that no script can read; a pasted token lives in this tab only. What this says
 * about rights only decides what is offered: the API decides what is done.
 */
import { answered, createAdminClient, ProblemError, type Model } from "@bitloot/admin-sdk";
import { PATH } from "./path";
import { useSyncExternalStore } from "react";

export type Right = Model<"Right">;

export type Session =
  | { readonly kind: "asking" }
  | { readonly kind: "out"; readonly why: string }
  | { readonly kind: "trouble"; readonly error: unknown }
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "person"; readonly who: Model<"SessionAnswer"> };

const KEY = "bitloot.token";
const listeners = new Set<() => void>();
const kept = sessionStorage.getItem(KEY);
let current: Session = kept === null ? { kind: "asking" } : { kind: "token", token: kept };

/** The desk's one way to the API: the SDK, with whoever is signed in. */
export const api = createAdminClient({
  baseUrl: PATH,
  token: () => (current.kind === "token" ? current.token : null),
  csrfToken: () => (current.kind === "person" ? current.who.csrfToken : null),
});

function change(next: Session): void {
  current = next;
  for (const listener of listeners) listener();
}

export function useSession(): Session {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => current,
  );
}

/** Ask whose the browser's cookie is. */
export async function askSession(): Promise<void> {
  try {
    change({ kind: "person", who: await answered(api.GET("/admin/session")) });
  } catch (error) {
    if (isSignedOut(error)) change({ kind: "out", why: new URLSearchParams(location.search).get("signIn") ?? "" });
    else change({ kind: "trouble", error });
  }
}

/** Sign in with a local account. Raises `ProblemError`. */
export async function signIn(username: string, password: string): Promise<void> {
  change({ kind: "person", who: await answered(api.POST("/admin/session", { body: { username, password } })) });
}

/** Keep a token for as long as this tab is open, once it has been tried. Raises `ProblemError`. */
export async function signInByToken(token: string): Promise<void> {
  await answered(
    createAdminClient({ baseUrl: PATH, token: () => token }).GET("/admin/orders", { params: { query: { limit: 1 } } }),
  );
  sessionStorage.setItem(KEY, token);
  change({ kind: "token", token });
}

/** End the session, or forget the token. Raises `ProblemError` when the session may go on. */
export async function signOut(): Promise<void> {
  if (current.kind === "person") await answered(api.DELETE("/admin/session"));
  sessionOver("");
}

/** What was signed in is no more. */
export function sessionOver(why: string): void {
  sessionStorage.removeItem(KEY);
  change({ kind: "out", why });
}

/** Whether an answer means that nobody is signed in (any more). */
export function isSignedOut(error: unknown): boolean {
  return error instanceof ProblemError && error.status === 401;
}

/** Whether something is to be offered. What a token may do shows when it is tried. */
export function useRight(right: Right): boolean {
  const session = useSession();
  return session.kind === "token" || (session.kind === "person" && session.who.rights.includes(right));
}
