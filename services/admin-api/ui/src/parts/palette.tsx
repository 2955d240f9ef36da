/** The command palette: pages, and orders by mail address or any id. Ctrl+K or ⌘K. */
import { answered } from "@bitloot/admin-sdk";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useDeferredValue, useId, useState, type KeyboardEvent } from "react";
import { api } from "../session";
import { PAGES } from "../pages";
import { Status } from "./basics";
import { Dialog } from "./dialog";
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
  const text = useDeferredValue(typed.trim());
  const orders = useQuery({
    queryKey: ["palette", text],
    queryFn: ({ signal }) =>
      answered(api.GET("/admin/orders", { params: { query: { q: text, limit: SHOWN } }, signal })),
    enabled: text.length >= 3,
    placeholderData: keepPreviousData,
  });
  const pages = PAGES.filter((page) => text === "" || page.name.toLowerCase().includes(text.toLowerCase()));
  const found = text.length >= 3 ? (orders.data?.items ?? []) : [];
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
    ...(text.length >= 3
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
        aria-label="Mail address, id or page"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={choices[at] ? `${list}-${at}` : undefined}
        autoFocus
        placeholder="A mail address, any id, or a page"
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
          : orders.isFetching
            ? "Searching…"
            : text.length >= 3 && found.length === 0
              ? "No order has this address or id."
              : ""}
      </p>
    </div>
  );
}
