/** Times, in the admin's zone with UTC on hover, beside how long ago. One clock ticks for the whole page. */
import { createContext, use, useEffect, useState, type ReactNode } from "react";
import { localTime, relative, utc } from "../lib/time";

const Now = createContext(new Date());
const TICK_MS = 10_000;

export function Clock({ children }: { readonly children: ReactNode }) {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    const timer = setInterval(() => setNow(new Date()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  return <Now value={now}>{children}</Now>;
}

export function useNow(): Date {
  return use(Now);
}

export function Time({ at, compact = false }: { readonly at: string | null | undefined; readonly compact?: boolean }) {
  const now = useNow();
  if (!at) return <span className="faint">—</span>;
  const moment = new Date(at);
  const ago = relative(moment, now);
  return (
    <time dateTime={at} title={`${utc(moment)} (${ago})`} className="time">
      {localTime(moment, now)}
      {compact ? null : <span className="faint"> {ago}</span>}
    </time>
  );
}

export function Ago({ at }: { readonly at: string }) {
  const now = useNow();
  const moment = new Date(at);
  return (
    <time dateTime={at} title={`${localTime(moment, now)} · ${utc(moment)}`}>
      {relative(moment, now)}
    </time>
  );
}
