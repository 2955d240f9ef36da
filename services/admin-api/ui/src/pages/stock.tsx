/** Codes that we sell on Kinguin: how many there are, what keeps customers from buying, and new ones from a file. */
import { answered, type Model } from "@bitloot/admin-sdk";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, useRight } from "../session";
import { everyPage, type Paging, type Search } from "../lib/search";
import { ActionButton, ActionResult, useAction } from "../parts/action";
import { Badge, Failure, Panel, Status } from "../parts/basics";
import { Dialog } from "../parts/dialog";
import type { FilterSpec } from "../parts/filters";
import { List, type Column } from "../parts/list";
import { Ago, Time } from "../parts/time";
import { question } from "./lists";

type Stock = Model<"ProductStock">;
type Imported = Model<"Imported">;

export const STOCK_FILTERS: readonly FilterSpec[] = [{ name: "productId", label: "Product", kind: "text", wide: true }];

const count = (id: keyof Stock, header: string): Column<Stock> => ({
  id,
  header,
  align: "right",
  cell: (row) => (row[id] === 0 ? <span className="faint">0</span> : row[id]),
});

const COLUMNS: readonly Column<Stock>[] = [
  { id: "product", header: "Product", cell: (row) => <strong>{row.productId}</strong> },
  {
    id: "free",
    header: "Free",
    align: "right",
    cell: (row) => (row.free === 0 ? <Badge tone="bad">0</Badge> : row.free),
  },
  count("reserved", "Reserved"),
  count("sent", "Sent"),
  count("delivered", "Delivered"),
  count("returned", "Returned"),
  count("refunded", "Refunded"),
  count("reversed", "Reversed"),
  count("withheld", "Withheld"),
  count("total", "Total"),
  {
    id: "last",
    header: "Last import",
    cell: (row) => <Time at={row.lastImportedAt} />,
  },
];

const load = (search: Search, paging: Paging, signal: AbortSignal) =>
  answered(api.GET("/admin/stock", { params: { query: question("/admin/stock", search, paging) }, signal }));

export function StockPage() {
  const may = useRight("stock");
  const [open, setOpen] = useState(false);
  return (
    <>
      <List
        page="stock"
        title="Stock"
        about="Codes that we sell on Kinguin. They are counted here, never shown."
        filters={STOCK_FILTERS}
        columns={COLUMNS}
        rowId={(row) => row.productId}
        load={load}
        csv={{ path: "/admin/stock.csv" }}
        empty="No codes have been imported yet."
        actions={
          may ? (
            <button type="button" className="primary" onClick={() => setOpen(true)}>
              Import codes…
            </button>
          ) : null
        }
      >
        <Offers />
      </List>
      <Dialog
        open={open}
        close={() => setOpen(false)}
        title="Import codes"
        about="A CSV file (UTF-8) whose first line names a column “code”; other columns are left alone. All of it is taken or, when anything is not sound, none; codes that are there already are left out and named by their lines."
      >
        {open ? <Import close={() => setOpen(false)} /> : null}
      </Dialog>
    </>
  );
}

const MAX_BYTES = 4 * 1024 * 1024; // as the API takes

function Import({ close }: { readonly close: () => void }) {
  const [productId, setProductId] = useState("");
  const [file, setFile] = useState<File | null>(null);
  const [result, setResult] = useState<Imported | null>(null);
  const sound = /^[A-Za-z0-9._-]{1,128}$/.test(productId);
  const tooLarge = file !== null && file.size > MAX_BYTES;
  const importing = useAction({
    // The file goes as it is: it is read by the API, not by this page.
    send: (action: string) =>
      api.POST("/admin/stock/{productId}/import", {
        params: { path: { productId }, header: { "Idempotency-Key": action } },
        headers: { "Content-Type": "text/csv" },
        body: file as unknown as string,
        bodySerializer: () => file,
      }),
    follow: (answer: Imported) => {
      setResult(answer);
      return { kind: "done", note: `${answer.imported} of ${answer.lines} codes were taken.` } as const;
    },
  });
  return (
    <div className="form">
      <label>
        Product
        <input
          value={productId}
          onChange={(event) => setProductId(event.target.value)}
          aria-invalid={productId !== "" && !sound}
          maxLength={128}
          spellCheck={false}
        />
      </label>
      <label>
        File
        <input
          type="file"
          accept=".csv,.txt,text/csv,text/plain"
          onChange={(event) => setFile(event.target.files?.[0] ?? null)}
        />
      </label>
      {tooLarge ? <p className="bad">The file has more than {MAX_BYTES / 1024 / 1024} MiB.</p> : null}
      <ActionResult state={importing.state} />
      {result && result.refused.length > 0 ? (
        <ul className="rows">
          {result.refused.map((each) => (
            <li key={each.line}>
              Line {each.line}{" "}
              <span className="faint">{each.reason === "in_file" ? "twice in this file" : "in the stock already"}</span>
            </li>
          ))}
        </ul>
      ) : null}
      <div className="buttons end">
        <button type="button" onClick={close}>
          {importing.state.kind === "done" ? "Close" : "Not now"}
        </button>
        {sound && file && !tooLarge ? (
          <ActionButton {...importing} primary>
            Import
          </ActionButton>
        ) : null}
      </div>
    </div>
  );
}

function Offers() {
  const offers = useQuery({
    queryKey: ["offers"],
    queryFn: ({ signal }) =>
      everyPage((paging) => answered(api.GET("/admin/offers", { params: { query: paging }, signal }))),
  });
  if (offers.isError) return <Failure error={offers.error} retry={() => void offers.refetch()} />;
  const troubled = offers.data?.filter((offer) => offer.problems.length > 0) ?? [];
  if (troubled.length === 0) return null;
  return (
    <Panel
      title="What keeps customers from buying"
      aside={
        <span className="faint">
          {troubled.length} of {offers.data?.length} offers
        </span>
      }
    >
      <ul className="rows">
        {troubled.map((offer) => (
          <li key={offer.offerId}>
            <span>
              <strong>{offer.name}</strong> <span className="faint">{offer.productId}</span>{" "}
              {offer.problems.map((each) => (
                <span key={each.problem} className="warn" title={each.problem}>
                  {each.detail}{" "}
                </span>
              ))}
            </span>
            <span className="end">
              <Status of={offer.status} /> read <Ago at={offer.readAt} />
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
