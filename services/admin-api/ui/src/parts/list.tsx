/** A list page: filters in the address, saved filters, a table with keys to walk it, pages, CSV. */
import { ProblemError } from "@bitloot/admin-sdk";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { createColumnHelper, tableFeatures, useTable } from "@tanstack/react-table";
import { useMemo, useRef, useState, type ReactNode } from "react";
import { csv, type CsvValue } from "../lib/csv";
import { offsetOf, only, type Search } from "../lib/search";
import { useRefresh } from "../live";
import { Empty, Failure, Loading, PageHead } from "./basics";
import { FilterBar, type FilterSpec } from "./filters";
import { UpTo } from "./fresh";
import { useListKeys } from "./keys";

export interface Column<Row> {
  readonly id: string;
  readonly header: string;
  readonly cell: (row: Row) => ReactNode;
  readonly csv?: (row: Row) => CsvValue;
  readonly align?: "right";
}

export interface Page<Row> {
  readonly items: readonly Row[];
  readonly total: number;
  readonly asOf: string | null;
}

export interface Paging {
  readonly limit: number;
  readonly offset: number;
}

export interface ListSpec<Row> {
  readonly page: string;
  readonly title: string;
  readonly about?: ReactNode;
  readonly filters: readonly FilterSpec[];
  readonly columns: readonly Column<Row>[];
  readonly rowId: (row: Row) => string;
  readonly load: (search: Search, paging: Paging, signal: AbortSignal) => Promise<Page<Row>>;
  readonly empty: string;
  readonly actions?: ReactNode;
  readonly children?: ReactNode;
}

const LIMIT = 50;
const CSV_LIMIT = 100;
const CSV_ROWS = 10_000;

export function useListSearch(filters: readonly FilterSpec[]): readonly [Search, (next: Search) => void] {
  const search = useSearch({ strict: false });
  const navigate = useNavigate();
  const known = useMemo(() => only([...filters.map((each) => each.name), "offset"], search), [filters, search]);
  return [known, (next) => void navigate({ to: ".", search: next, replace: true })];
}

export function List<Row>({
  page,
  title,
  about,
  filters,
  columns,
  rowId,
  load,
  empty,
  actions,
  children,
}: ListSpec<Row>) {
  const [search, setSearch] = useListSearch(filters);
  const refetchInterval = useRefresh();
  const offset = offsetOf(search);
  const { offset: _, ...conditions } = search;
  const found = useQuery({
    queryKey: ["list", page, conditions, offset],
    queryFn: ({ signal }) => load(conditions, { limit: LIMIT, offset }, signal),
    placeholderData: keepPreviousData,
    refetchInterval,
  });
  const filtered = Object.keys(conditions).length > 0;
  return (
    <>
      <PageHead title={title} about={about}>
        {actions}
        <CsvButton page={page} columns={columns} search={conditions} load={load} disabled={!found.data?.total} />
      </PageHead>
      <FilterBar page={page} filters={filters} search={conditions} setSearch={setSearch} />
      {children}
      {found.isPending ? <Loading what={`Loading ${title.toLowerCase()}`} /> : null}
      {found.isError ? <Failure error={found.error} retry={() => void found.refetch()} /> : null}
      {found.data?.items.length === 0 && !found.isError ? (
        <Empty
          title={!filtered ? empty : found.data.asOf ? "Nothing fits these filters." : "Nothing was found so far."}
        >
          <UpTo at={found.data.asOf} />
        </Empty>
      ) : null}
      {found.data && found.data.items.length > 0 ? (
        <>
          <Table
            rows={found.data.items}
            columns={columns}
            rowId={rowId}
            label={title}
            stale={found.isPlaceholderData}
          />
          <Pager
            offset={offset}
            shown={found.data.items.length}
            total={found.data.total}
            asOf={found.data.asOf}
            go={(next) => setSearch(next > 0 ? { ...conditions, offset: String(next) } : conditions)}
          />
        </>
      ) : null}
    </>
  );
}

const features = tableFeatures({});

interface TableProps<Row> {
  readonly rows: readonly Row[];
  readonly columns: readonly Column<Row>[];
  readonly rowId: (row: Row) => string;
  readonly label: string;
  readonly stale?: boolean;
  readonly keys?: boolean;
}

export function Table<Row>({ rows, columns, rowId, label, stale = false, keys = true }: TableProps<Row>) {
  const body = useRef<HTMLTableSectionElement>(null);
  useListKeys(body, keys);
  const made = useMemo(() => {
    const helper = createColumnHelper<typeof features, { readonly row: Row }>();
    return helper.columns(
      columns.map((column) =>
        helper.display({
          id: column.id,
          header: column.header,
          cell: (context) => column.cell(context.row.original.row),
        }),
      ),
    );
  }, [columns]);
  const data = useMemo(() => rows.map((row) => ({ row })), [rows]);
  const table = useTable({ features, columns: made, data, getRowId: (each) => rowId(each.row) });
  const align = new Map(columns.map((column) => [column.id, column.align ?? ""]));
  return (
    <div className="table-wrap" aria-busy={stale}>
      <table aria-label={label}>
        <thead>
          {table.getHeaderGroups().map((group) => (
            <tr key={group.id}>
              {group.headers.map((header) => (
                <th key={header.id} scope="col" className={align.get(header.column.id)}>
                  <table.FlexRender header={header} />
                </th>
              ))}
            </tr>
          ))}
        </thead>
        <tbody ref={body}>
          {table.getRowModel().rows.map((row) => (
            <tr key={row.id} data-row={row.id}>
              {row.getAllCells().map((cell) => (
                <td key={cell.id} className={align.get(cell.column.id)}>
                  <table.FlexRender cell={cell} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface PagerProps {
  readonly offset: number;
  readonly shown: number;
  readonly total: number;
  readonly asOf: string | null;
  readonly go: (offset: number) => void;
}

const numbers = new Intl.NumberFormat("en-US");

function Pager({ offset, shown, total, asOf, go }: PagerProps) {
  return (
    <nav className="pager" aria-label="Through the list">
      <span>
        {numbers.format(offset + 1)}–{numbers.format(offset + shown)} of {numbers.format(total)}
      </span>
      <button type="button" disabled={offset === 0} onClick={() => go(Math.max(0, offset - LIMIT))}>
        ← Newer
      </button>
      <button type="button" disabled={offset + shown >= total} onClick={() => go(offset + LIMIT)}>
        Older →
      </button>
      <span className="faint fresh">
        <UpTo at={asOf} />
      </span>
    </nav>
  );
}

interface CsvProps<Row> {
  readonly page: string;
  readonly columns: readonly Column<Row>[];
  readonly search: Search;
  readonly load: ListSpec<Row>["load"];
  readonly disabled: boolean;
}

function CsvButton<Row>({ page, columns, search, load, disabled }: CsvProps<Row>) {
  const [note, setNote] = useState("");
  const [running, setRunning] = useState<AbortController | null>(null);
  const save = async () => {
    if (running) {
      running.abort();
      return;
    }
    const control = new AbortController();
    setRunning(control);
    try {
      const told = columns.filter((column) => column.csv);
      const rows: CsvValue[][] = [];
      let total = 1;
      while (rows.length < Math.min(total, CSV_ROWS)) {
        const part = await load(search, { limit: CSV_LIMIT, offset: rows.length }, control.signal);
        total = part.total;
        if (part.items.length === 0) break;
        rows.push(...part.items.map((row) => told.map((column) => column.csv?.(row))));
        setNote(`${numbers.format(rows.length)} of ${numbers.format(Math.min(total, CSV_ROWS))}`);
      }
      download(
        `bitloot-${page}.csv`,
        csv(
          told.map((column) => column.header),
          rows.slice(0, CSV_ROWS),
        ),
      );
      setNote(
        total > CSV_ROWS
          ? `The first ${numbers.format(CSV_ROWS)} of ${numbers.format(total)} are in the file.`
          : `${numbers.format(rows.length)} rows are in the file.`,
      );
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
    </>
  );
}

function download(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
