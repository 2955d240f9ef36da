/** A list as a CSV file, which the API writes: the same filter, all rows, masked as the list is, or unmasked for a reason. */
import { answered, ProblemError, type paths } from "@bitloot/admin-sdk";
import { useState } from "react";
import type { Search } from "../lib/search";
import { api, useRight, useSession, type Right } from "../session";
import { ReasonDialog } from "./reason";

/** Where the API has a list as a file. */
export type CsvPath = Extract<keyof paths, `${string}.csv`>;

export interface CsvSource {
  readonly path: CsvPath;
  /** The right without which some of it is masked. */
  readonly masked?: Right;
}

interface CsvProps {
  readonly page: string;
  readonly source: CsvSource;
  readonly search: Search;
  readonly disabled: boolean;
}

export function CsvButton({ page, source, search, disabled }: CsvProps) {
  const [note, setNote] = useState("");
  const [running, setRunning] = useState<AbortController | null>(null);
  const save = async () => {
    if (running) {
      running.abort();
      return;
    }
    const control = new AbortController();
    setRunning(control);
    setNote("The file is being made.");
    try {
      setNote(download(page, await answered(file(source.path, search, control.signal))));
    } catch (error) {
      setNote(
        control.signal.aborted ? "Stopped." : error instanceof ProblemError ? `Failed: ${error.message}` : "Failed.",
      );
    } finally {
      setRunning(null);
    }
  };
  return (
    <>
      <span className="faint" role="status">
        {note}
      </span>
      <button type="button" onClick={save} disabled={disabled && !running}>
        {running ? "Stop" : "CSV"}
      </button>
      {source.masked && !disabled ? (
        <Unmasked page={page} path={source.path} right={source.masked} search={search} />
      ) : null}
    </>
  );
}

interface UnmaskedProps {
  readonly page: string;
  readonly path: CsvPath;
  readonly right: Right;
  readonly search: Search;
}

/** For people: what a token may see is in its files already. */
function Unmasked({ page, path, right, search }: UnmaskedProps) {
  const may = useRight(right);
  const person = useSession().kind === "person";
  const [open, setOpen] = useState(false);
  if (!may || !person) return null;
  return (
    <>
      <button type="button" className="quiet" onClick={() => setOpen(true)}>
        Unmasked CSV…
      </button>
      <ReasonDialog<Blob>
        open={open}
        close={() => setOpen(false)}
        title="Save all that this filter finds, unmasked"
        about="That you have the file, and why, is written down. Keep it no longer than you need it."
        verb="Save"
        spec={(reason) => ({
          send: () => unmaskedFile(path, search, reason),
          follow: (found) => ({ kind: "done", note: download(page, found) }),
        })}
      />
    </>
  );
}

// All lists' files are asked for in the same way, and what a filter holds is checked by the API: one path stands for all.
const asked = (path: CsvPath) => path as "/admin/orders.csv";

function file(path: CsvPath, search: Search, signal: AbortSignal) {
  return api.GET(asked(path), { params: { query: search }, parseAs: "blob", signal });
}

function unmaskedFile(path: CsvPath, search: Search, reason: string) {
  return api.POST(asked(path), { body: { ...search, reason }, parseAs: "blob" });
}

const numbers = new Intl.NumberFormat("en-US");

/** Let the browser save a file; return in words how large it is. */
function download(page: string, content: Blob): string {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = `bitloot-${page}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
  return `Saved, ${numbers.format(Math.ceil(content.size / 1000))} kB.`;
}
