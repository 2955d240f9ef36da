/** A list page: filters in the address, saved filters, a table with keys to walk it, pages, CSV. */
import { ProblemError } from "@bitloot/admin-sdk";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { createColumnHelper, tableFeatures, useTable } from "@tanstack/react-table";
import { useMemo, useRef, type ReactNode } from "react";
import { howMany, only, placeOf, PLACES, type Paging, type Search } from "../lib/search";
import { useRefresh } from "../live";
import { Empty, Failure, Loading, PageHead } from "./basics";
import { CsvButton, type CsvSource } from "./csv";
import { FilterBar, type FilterSpec } from "./filters";
import { UpTo } from "./fresh";
import { useListKeys } from "./keys";

export interface Column<Row> {
  readonly id: string;
  readonly header: string;
  readonly cell: (row: Row) => ReactNode;
  readonly align?: "right";
}

export interface Page<Row> {
  readonly items: readonly Row[];
  readonly total: number;
  readonly totalExact: boolean;
  readonly next: string | null;
  readonly previous: string | null;
  readonly asOf: string | null;
}

export interface ListSpec<Row> {
  readonly page: string;
  readonly title: string;
  readonly about?: ReactNode;
  readonly filters: readonly FilterSpec[];
  readonly columns: readonly Column<Row>[];
  readonly rowId: (row: Row) => string;
  readonly load: (search: Search, paging: Paging, signal: AbortSignal) => Promise<Page<Row>>;
  readonly csv: CsvSource;
  readonly empty: string;
  readonly actions?: ReactNode;
  readonly children?: ReactNode;
}

const LIMIT = 50;

export function useListSearch(filters: readonly FilterSpec[]): readonly [Search, (next: Search) => void] {
  const search = useSearch({ strict: false });
  const navigate = useNavigate();
  const known = useMemo(() => only([...filters.map((each) => each.name), ...PLACES], search), [filters, search]);
  // Filters take the place of what was there; a page is a place that the browser can go back to.
  const turns = (next: Search) => PLACES.some((name) => next[name] !== known[name]);
  return [known, (next) => void navigate({ to: ".", search: next, replace: !turns(next) })];
}

export function List<Row>({
  page,
  title,
  about,
  filters,
  columns,
  rowId,
  load,
  csv,
  empty,
  actions,
  children,
}: ListSpec<Row>) {
  const [search, setSearch] = useListSearch(filters);
  const refetchInterval = useRefresh();
  const { place, conditions } = placeOf(search);
  const found = useQuery({
    queryKey: ["list", page, conditions, place],
    queryFn: ({ signal }) => load(conditions, { limit: LIMIT, ...place }, signal),
    placeholderData: keepPreviousData,
    refetchInterval,
  });
  const filtered = Object.keys(conditions).length > 0;
  const placed = Object.keys(place).length > 0;
  const toFirst = () => setSearch(conditions);
  return (
    <>
      <PageHead title={title} about={about}>
        {actions}
        <CsvButton page={page} source={csv} search={conditions} disabled={!found.data?.total} />
      </PageHead>
      <FilterBar page={page} filters={filters} search={conditions} setSearch={setSearch} />
      {children}
      {placed && (isRefused(found.error) || (found.data?.items.length === 0 && !found.isError)) ? (
        <p>
          This place in the list is not there any more.{" "}
          <button type="button" onClick={toFirst}>
            To the first page
          </button>
        </p>
      ) : null}
      {found.isPending ? <Loading what={`Loading ${title.toLowerCase()}`} /> : null}
      {found.isError ? <Failure error={found.error} retry={() => void found.refetch()} /> : null}
      {found.data?.items.length === 0 && !found.isError && !placed ? (
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
            of={found.data}
            noun="list"
            go={(cursor) => (cursor === null ? toFirst() : setSearch({ ...conditions, cursor }))}
          />
        </>
      ) : null}
    </>
  );
}

/** Whether the API knows no such place; one that is away says nothing of it. */
function isRefused(error: unknown): boolean {
  return error instanceof ProblemError && error.status === 400;
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
  readonly of: Page<unknown>;
  readonly noun: string;
  readonly go: (cursor: string | null) => void;
}

const numbers = new Intl.NumberFormat("en-US");

/** From page to page by the API's cursors: rows that come meanwhile shift nothing. */
export function Pager({ of: page, noun, go }: PagerProps) {
  const turn = (cursor: string | null) => {
    go(cursor);
    window.scrollTo({ top: 0 });
  };
  return (
    <nav className="pager" aria-label={`Through the ${noun}`}>
      <span>
        {numbers.format(page.items.length)} of {howMany(page)}
      </span>
      <button type="button" disabled={page.previous === null} onClick={() => turn(page.previous)}>
        ← Previous
      </button>
      <button type="button" disabled={page.next === null} onClick={() => turn(page.next)}>
        Next →
      </button>
      {page.previous === null ? null : (
        <button type="button" className="quiet" onClick={() => turn(null)}>
          To the first
        </button>
      )}
      <span className="faint fresh">
        <UpTo at={page.asOf} />
      </span>
    </nav>
  );
}
