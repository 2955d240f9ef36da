/** The small parts of every page. */
import { ProblemError } from "@bitloot/admin-sdk";
import type { UseQueryResult } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { money } from "../lib/money";
import { tone, words, type Tone } from "../lib/order";

export function Badge({ children, tone: look = "quiet" }: { readonly children: ReactNode; readonly tone?: Tone }) {
  return <span className={`badge ${look}`}>{children}</span>;
}

export function Status({ of }: { readonly of: string | null | undefined }) {
  return of ? <Badge tone={tone(of)}>{words(of)}</Badge> : <span className="faint">—</span>;
}

/** An id that can be copied whole, shown by its beginning. */
export function Id({
  value,
  length = 8,
  link,
}: {
  readonly value: string | null | undefined;
  readonly length?: number;
  readonly link?: ReactNode;
}) {
  const [copied, setCopied] = useState(false);
  if (!value) return <span className="faint">—</span>;
  const shown = value.length > length + 2 ? `${value.slice(0, length)}…` : value;
  const copy = async () => {
    await navigator.clipboard.writeText(value);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <span className="id">
      {link ?? <code title={value}>{shown}</code>}
      <button
        type="button"
        className="copy"
        onClick={copy}
        aria-label={`Copy ${value}`}
        title={copied ? "Copied" : "Copy"}
      >
        {copied ? "✓" : "⧉"}
      </button>
    </span>
  );
}

export function short(value: string, length = 8): string {
  return value.length > length + 2 ? `${value.slice(0, length)}…` : value;
}

export function Panel({
  title,
  aside,
  children,
  className = "",
}: {
  readonly title: ReactNode;
  readonly aside?: ReactNode;
  readonly children: ReactNode;
  readonly className?: string;
}) {
  return (
    <section className={`panel ${className}`}>
      <header>
        <h2>{title}</h2>
        {aside ? <div className="aside">{aside}</div> : null}
      </header>
      {children}
    </section>
  );
}

export function PageHead({
  title,
  about,
  children,
}: {
  readonly title: ReactNode;
  readonly about?: ReactNode;
  readonly children?: ReactNode;
}) {
  return (
    <div className="page-head">
      <div>
        <h1>{title}</h1>
        {about ? <p className="faint">{about}</p> : null}
      </div>
      {children ? <div className="page-actions">{children}</div> : null}
    </div>
  );
}

export function Loading({ what = "Loading" }: { readonly what?: string }) {
  return (
    <div className="state" role="status">
      <span className="spinner" aria-hidden="true" /> {what}…
    </div>
  );
}

export function Empty({ children, title }: { readonly children?: ReactNode; readonly title: string }) {
  return (
    <div className="state empty">
      <strong>{title}</strong>
      {children ? <p>{children}</p> : null}
    </div>
  );
}

/** What went wrong, in the API's own words, with a way to try again. */
export function Failure({ error, retry }: { readonly error: unknown; readonly retry?: () => void }) {
  const problem = error instanceof ProblemError ? error : null;
  return (
    <div className="state failure" role="alert">
      <strong>{problem ? explain(problem) : "This page failed."}</strong>
      <p>{error instanceof Error ? error.message : String(error)}</p>
      {problem && problem.errors.length > 0 ? (
        <ul>
          {problem.errors.map((each) => (
            <li key={each.parameter}>
              <code>{each.parameter}</code>: {each.detail}
            </li>
          ))}
        </ul>
      ) : null}
      {retry ? (
        <button type="button" onClick={retry}>
          Try again
        </button>
      ) : null}
    </div>
  );
}

/** What was found; when it cannot be read again it stays, with the reason, for somebody may be in the middle of something. */
export function Found<T>({
  from,
  what,
  children,
}: {
  readonly from: UseQueryResult<T>;
  readonly what: string;
  readonly children: (found: T) => ReactNode;
}) {
  const failure = from.isError ? <Failure error={from.error} retry={() => void from.refetch()} /> : null;
  if (from.data === undefined) return failure ?? <Loading what={`Loading ${what}`} />;
  return (
    <>
      {failure}
      {children(from.data)}
    </>
  );
}

function explain(problem: ProblemError): string {
  if (problem.status === 0) return "The admin API cannot be reached.";
  if (problem.status === 403) return "You may not see or do this.";
  if (problem.status === 404) return "There is nothing here.";
  return `${problem.status} ${problem.title}`;
}

export function Fact({ name, children }: { readonly name: string; readonly children: ReactNode }) {
  return (
    <div className="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function Amount({
  value,
  currency,
}: {
  readonly value: string | null | undefined;
  readonly currency?: string | null | undefined;
}) {
  if (value === null || value === undefined) return <span className="faint">—</span>;
  return (
    <span className="amount">
      {money(value)} <span className="faint">{currency?.toUpperCase()}</span>
    </span>
  );
}
