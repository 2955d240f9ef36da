/** How often lists are read again: every few seconds while the page is seen. */

const POLL_MS = 10_000;

export function useRefresh(): number {
  return POLL_MS;
}
