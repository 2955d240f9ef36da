/** The command palette: pages, and orders by mail address, any id or a code. Ctrl+K or ⌘K. */
import { answered } from "@bitloot/admin-sdk";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useDeferredValue, useId, useState, type KeyboardEvent } from "react";
import { api, useRight } from "../session";
import { PAGES } from "../pages";
import { looksLikeCode } from "../lib/code";
import { Status } from "./basics";
import { useCodeSearch } from "./code-search";
import { Dialog } from "./dialog";
import { UpTo } from "./fresh";
import { Ago } from "./time";

export function Palette({ open, close }: { readonly open: boolean; readonly close: () => void }) {
  return (
    <Dialog open={open} close={close} title="Find or go to">
      {open ? <Choices close={close} /> : null}
    </Dialog>
  );
}

const SHOWN = 8;

function Choices({ close }: { readonly close: () => void }) {
  const navigate = useNavigate();
  const [typed, setTyped] = useState("");
  const [chosen, setChosen] = useState(0);
  const list = useId();
  const findCode = useCodeSearch();
  const mayFindCodes = useRight("find_codes");
  const text = typed.trim();
  const asked = useDeferredValue(text);
  // A code must not get into an address, so what looks like one is not searched for as anything else.
  const code = looksLikeCode(typed) || looksLikeCode(asked);
  const searched = text.length >= 3 && !code;
  const orders = useQuery({
    queryKey: ["palette", asked],
    queryFn: ({ signal }) =>
      answered(api.GET("/admin/orders", { params: { query: { q: asked, limit: SHOWN } }, signal })),
    enabled: searched && asked.length >= 3,
  });
  const pages = PAGES.filter((page) => text === "" || page.name.toLowerCase().includes(text.toLowerCase()));
  // Enter opens the first one: never what was found for another text.
  const current = searched && asked === text;
  const found = current ? (orders.data?.items ?? []) : [];
  const choices = [
    ...found.map((order) => ({
      key: order.id,
      show: (
        <>
          <span>
            <code>{order.id.slice(0, 8)}</code> {order.email}
          </span>
          <span className="end">
            <Status of={order.status} /> <Ago at={order.updatedAt} />
          </span>
        </>
      ),
      go: () => navigate({ to: "/orders/$id", params: { id: order.id } }),
    })),
    ...(searched
      ? [
          {
            key: "all orders",
            show: <span>All orders with “{text}”</span>,
            go: () => navigate({ to: "/orders", search: { q: text } }),
          },
        ]
      : []),
    ...pages.map((page) => ({
      key: page.path,
      show: (
        <>
          <span>{page.name}</span>
          <kbd>g {page.key}</kbd>
        </>
      ),
      go: () => navigate({ to: page.path }),
    })),
    ...(mayFindCodes
      ? [
          {
            key: "code",
            show: (
              <>
                <span>{code ? "Find the order that has this code" : "Find an order by a code…"}</span>
                <kbd>g c</kbd>
              </>
            ),
            go: () => {
              findCode(code ? typed : "");
              return Promise.resolve();
            },
          },
        ]
      : []),
  ];
  const at = Math.min(chosen, choices.length - 1);
  const take = async (number: number) => {
    const choice = choices[number];
    if (!choice) return;
    close();
    await choice.go();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") setChosen(Math.min(choices.length - 1, at + 1));
    else if (event.key === "ArrowUp") setChosen(Math.max(0, at - 1));
    else if (event.key === "Enter") void take(at);
    else return;
    event.preventDefault();
  };
  return (
    <div className="palette">
      <input
        role="combobox"
        aria-label="Mail address, id, code or page"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={choices[at] ? `${list}-${at}` : undefined}
        autoFocus
        placeholder="A mail address, any id, a code, or a page"
        value={typed}
        maxLength={200}
        spellCheck={false}
        autoComplete="off"
        onChange={(event) => {
          setTyped(event.target.value);
          setChosen(0);
        }}
        onKeyDown={onKey}
      />
      <ul id={list} role="listbox" aria-label="Found">
        {choices.map((choice, number) => (
          <li
            key={choice.key}
            id={`${list}-${number}`}
            role="option"
            aria-selected={number === at}
            onClick={() => void take(number)}
            onPointerMove={() => setChosen(number)}
          >
            {choice.show}
          </li>
        ))}
      </ul>
      <p className="faint" role="status">
        {orders.isError
          ? "Orders cannot be searched at the moment."
          : orders.isFetching || (searched && !current)
            ? "Searching…"
            : code && !mayFindCodes
              ? "This looks like a code, which you may not search by."
              : null}
        {current && orders.data && !orders.isFetching && found.length === 0 ? (
          <>
            {orders.data.asOf ? "No order has this address or id. " : "Nothing was found so far. "}
            <UpTo at={orders.data.asOf} />
          </>
        ) : null}
      </p>
    </div>
  );
}
