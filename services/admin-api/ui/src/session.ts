/** Who is signed in. A pasted token lives in this tab only; a session lives in a cookie that no script can read. */
import { ProblemError } from "@bitloot/admin-sdk";
import { useSyncExternalStore } from "react";

export interface Credentials {
  readonly token: string | null;
  readonly csrfToken: string | null;
}

const KEY = "bitloot.token";
const listeners = new Set<() => void>();
let current: Credentials = { token: sessionStorage.getItem(KEY), csrfToken: null };

export function credentials(): Credentials {
  return current;
}

/** Keep a token for as long as this tab is open; null forgets it. */
export function keepToken(token: string | null): void {
  if (token === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, token);
  change({ token, csrfToken: null });
}

export function keepCsrfToken(csrfToken: string | null): void {
  change({ ...current, csrfToken });
}

function change(next: Credentials): void {
  current = next;
  for (const listener of listeners) listener();
}

export function useCredentials(): Credentials {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => current,
  );
}

/** Whether an answer means that nobody is signed in (any more). */
export function isSignedOut(error: unknown): boolean {
  return error instanceof ProblemError && error.status === 401;
}
