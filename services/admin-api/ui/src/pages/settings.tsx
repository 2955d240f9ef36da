/** The admin API's settings as they are now: to read only, and never a secret. */
import { answered } from "@bitloot/admin-sdk";
import { useQuery } from "@tanstack/react-query";
import { Badge, Failure, Loading, PageHead } from "../parts/basics";
import { Table, type Column } from "../parts/list";
import { api } from "../session";
import type { Model } from "@bitloot/admin-sdk";

type Setting = Model<"Setting">;

const COLUMNS: readonly Column<Setting>[] = [
  { id: "name", header: "Setting", cell: (row) => <code>{row.name}</code> },
  {
    id: "value",
    header: "Value",
    cell: (row) =>
      row.secret ? (
        <Badge tone={row.isSet ? "good" : "quiet"}>{row.isSet ? "a secret, set" : "not set"}</Badge>
      ) : (
        <code className="clip">{row.value ?? "—"}</code>
      ),
  },
  { id: "about", header: "What it is", cell: (row) => <span className="faint wrap">{row.description}</span> },
];

export function Settings() {
  const found = useQuery({
    queryKey: ["settings"],
    queryFn: ({ signal }) => answered(api.GET("/admin/settings", { signal })),
  });
  return (
    <>
      <PageHead title="Settings" about="Of this admin API, read from its environment when it was started." />
      {found.isPending ? <Loading what="Loading the settings" /> : null}
      {found.isError ? <Failure error={found.error} retry={() => void found.refetch()} /> : null}
      {found.data ? (
        <Table rows={found.data.items} columns={COLUMNS} rowId={(row) => row.name} label="Settings" />
      ) : null}
    </>
  );
}
