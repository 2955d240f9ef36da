/** A payload of any size: pretty or raw, only the lines in sight are in the page; and the difference between two. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { diffLines } from "diff";
import { useMemo, useRef, useState } from "react";
import { jsonParts, prettyForm, prettyJson } from "../lib/json";
import { lines } from "../lib/lines";

interface Line {
  readonly text: string;
  readonly look: "" | "added" | "removed";
}

export function Payload({ text, label }: { readonly text: string; readonly label: string }) {
  const pretty = useMemo(() => prettyJson(text) ?? prettyForm(text), [text]);
  const [raw, setRaw] = useState(false);
  const shown = raw || pretty === null ? text : pretty;
  const all = useMemo(() => lines(shown).map((each): Line => ({ text: each, look: "" })), [shown]);
  return (
    <div className="payload">
      <div className="payload-bar">
        <span className="faint">
          {new Intl.NumberFormat("en-US").format(new TextEncoder().encode(text).length)} bytes
        </span>
        <span className="spread" />
        {pretty === null ? (
          <span className="faint">Not JSON: shown as it came</span>
        ) : (
          <>
            <button type="button" aria-pressed={!raw} onClick={() => setRaw(false)}>
              Pretty
            </button>
            <button type="button" aria-pressed={raw} onClick={() => setRaw(true)}>
              Raw
            </button>
          </>
        )}
        <button type="button" onClick={() => void navigator.clipboard.writeText(text)}>
          Copy
        </button>
      </div>
      <Lines all={all} label={label} colored={!raw && pretty !== null} />
    </div>
  );
}

/** What changed from one payload to another, line by line of their pretty form. */
export function Difference({
  before,
  after,
  label,
}: {
  readonly before: string;
  readonly after: string;
  readonly label: string;
}) {
  const all = useMemo(() => {
    const parts = diffLines(readable(before), readable(after), { timeout: 2000 });
    return parts?.flatMap((part) =>
      lines(part.value.replace(/\n$/, "")).map((text): Line => ({
        text,
        look: part.added ? "added" : part.removed ? "removed" : "",
      })),
    );
  }, [before, after]);
  if (!all) return <p className="state">They differ too much to be compared line by line.</p>;
  if (all.every((line) => line.look === "")) return <p className="state">They are the same.</p>;
  return <Lines all={all} label={label} colored={false} />;
}

function readable(text: string): string {
  return prettyJson(text) ?? prettyForm(text) ?? text;
}

const LINE_PX = 18;

function Lines({
  all,
  label,
  colored,
}: {
  readonly all: readonly Line[];
  readonly label: string;
  readonly colored: boolean;
}) {
  const box = useRef<HTMLDivElement>(null);
  // eslint-disable-next-line react-hooks/incompatible-library -- the virtualizer's functions are used here only
  const view = useVirtualizer({
    count: all.length,
    getScrollElement: () => box.current,
    estimateSize: () => LINE_PX,
    overscan: 20,
  });
  return (
    <div ref={box} className="lines" tabIndex={0} role="region" aria-label={label}>
      <div className="lines-all" style={{ height: view.getTotalSize() }}>
        {view.getVirtualItems().map((item) => {
          const line = all[item.index];
          return line ? (
            <div key={item.key} className={`line ${line.look}`} style={{ transform: `translateY(${item.start}px)` }}>
              <span className="line-number" aria-hidden="true">
                {item.index + 1}
              </span>
              <code>
                {line.look === "added" ? "+ " : line.look === "removed" ? "− " : ""}
                {colored
                  ? jsonParts(line.text).map(([kind, text], at) => (
                      <span key={at} className={`j-${kind}`}>
                        {text}
                      </span>
                    ))
                  : line.text}
              </code>
            </div>
          ) : null;
        })}
      </div>
    </div>
  );
}
