/**
 * What changes shows by itself: one stream of notices for the desk, while its page is seen. What it concerns is read again, gathered,
 * so that many changes are few questions. While there is no stream, lists are read again every few seconds instead.
 */
import { answered } from "@bitloot/admin-sdk";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import { concerns, EVERYTHING, gathering, noticeReader, type Notice } from "./lib/notices";
import { rest } from "./lib/rest";
import { api } from "./session";

/** How often what no notice tells of is read again. */
export const POLL_MS = 10_000;
const POLL_LIVE_MS = 30_000;
const SILENT_MS = 45_000; // three signs of life
const LASTING_MS = 10_000;
const FIRST_PAUSE_MS = 2000;
const LONGEST_PAUSE_MS = 60_000;

const listeners = new Set<() => void>();
let streaming = false;

function change(now: boolean): void {
  if (now === streaming) return;
  streaming = now;
  for (const listener of listeners) listener();
}

export function useStreaming(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => streaming,
  );
}

/** How often lists are read again although nobody told of a change, in milliseconds. */
export function useRefresh(): number {
  return useStreaming() ? POLL_LIVE_MS : POLL_MS;
}

/** Follow what changes for as long as this is mounted. */
export function useLive(): void {
  const queries = useQueryClient();
  useEffect(() => {
    const control = new AbortController();
    const gathered = gathering((notices) => {
      const predicate = ({ queryKey }: { readonly queryKey: readonly unknown[] }) =>
        notices.some((notice) => concerns(notice, queryKey));
      // What is being read may have missed the change, and reading it twice at once helps nobody.
      if (queries.isFetching({ predicate }) > 0) return false;
      void queries.invalidateQueries({ predicate });
      return true;
    });
    void listen(gathered.add, control.signal);
    return () => {
      control.abort();
      gathered.stop();
    };
  }, [queries]);
}

async function listen(heard: (notices: readonly Notice[]) => void, signal: AbortSignal): Promise<void> {
  let brief = 0; // streams in a row that did not last
  for (let streams = 0; !signal.aborted; streams += 1) {
    await seen(signal);
    const begun = performance.now();
    // After a pause nobody knows what was missed.
    await stream(() => heard(streams > 0 ? [EVERYTHING] : []), heard, signal);
    change(false);
    brief = performance.now() - begun < LASTING_MS ? brief + 1 : 0;
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** brief);
    await rest(pause * (0.5 + Math.random() / 2), signal); // not all desks at once
  }
}

/** Follow one stream until it ends, is silent for too long, or the page is hidden: browsers allow few connections at a time. */
async function stream(
  opened: () => void,
  heard: (notices: readonly Notice[]) => void,
  signal: AbortSignal,
): Promise<void> {
  const control = new AbortController();
  const end = () => control.abort();
  const endIfHidden = () => {
    if (document.hidden) end();
  };
  signal.addEventListener("abort", end, { once: true });
  document.addEventListener("visibilitychange", endIfHidden);
  let silent = setTimeout(end, SILENT_MS);
  try {
    const body = await answered(api.GET("/admin/live", { parseAs: "stream", signal: control.signal }));
    if (!body) return;
    const read = noticeReader();
    const texts = body.pipeThrough(new TextDecoderStream()).getReader();
    for (let first = true; ; first = false) {
      const { done, value } = await texts.read();
      if (done) return;
      clearTimeout(silent);
      silent = setTimeout(end, SILENT_MS);
      if (first) {
        change(true);
        opened();
      }
      heard(read(value));
    }
  } catch {
    // Whatever ended it: lists are polled until there is a stream again, and what they ask tells what is wrong.
  } finally {
    clearTimeout(silent);
    signal.removeEventListener("abort", end);
    document.removeEventListener("visibilitychange", endIfHidden);
    end();
  }
}

async function seen(signal: AbortSignal): Promise<void> {
  while (document.hidden && !signal.aborted)
    await new Promise<void>((resolve) => {
      document.addEventListener("visibilitychange", () => resolve(), { once: true, signal });
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
}
