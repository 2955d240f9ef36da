/** The filters of a list, and the ones that an admin has named. */
import { Menu } from "@base-ui/react/menu";
import { useEffect, useState } from "react";
import { forgetFilter, savedFilters, saveFilter } from "../lib/saved";
import type { Search } from "../lib/search";
import { fromLocalField, toLocalField, zone } from "../lib/time";
import { looksLikeCode } from "../lib/code";
import { words } from "../lib/order";
import { useCodeSearch } from "./code-search";

export interface FilterSpec {
  readonly name: string;
  readonly label: string;
  readonly kind: "text" | "choice" | "time";
  readonly choices?: readonly string[];
  readonly wide?: boolean;
}

interface FilterBarProps {
  readonly page: string;
  readonly filters: readonly FilterSpec[];
  readonly search: Search;
  readonly setSearch: (search: Search) => void;
}

export function FilterBar({ page, filters, search, setSearch }: FilterBarProps) {
  const change = (name: string, value: string) => {
    const { [name]: _, ...rest } = search;
    setSearch(value === "" ? rest : { ...rest, [name]: value });
  };
  if (filters.length === 0) return null;
  return (
    <form className="filters" role="search" aria-label="Filters" onSubmit={(event) => event.preventDefault()}>
      {filters.map((filter) => (
        <Field
          key={filter.name}
          filter={filter}
          value={search[filter.name] ?? ""}
          change={(value) => change(filter.name, value)}
        />
      ))}
      <div className="filter-actions">
        {Object.keys(search).length > 0 ? (
          <button type="button" className="quiet" onClick={() => setSearch({})}>
            Clear
          </button>
        ) : null}
        <Saved page={page} search={search} setSearch={setSearch} />
      </div>
    </form>
  );
}

interface FieldProps {
  readonly filter: FilterSpec;
  readonly value: string;
  readonly change: (value: string) => void;
}

function Field({ filter, value, change }: FieldProps) {
  switch (filter.kind) {
    case "text":
      return <TextField filter={filter} value={value} change={change} />;
    case "choice":
      return (
        <label>
          <span>{filter.label}</span>
          <select value={value} onChange={(event) => change(event.target.value)} data-set={value !== ""}>
            <option value="">Any</option>
            {(filter.choices ?? []).map((choice) => (
              <option key={choice} value={choice}>
                {words(choice)}
              </option>
            ))}
          </select>
        </label>
      );
    case "time":
      return (
        <label title={`In your zone, ${zone()}`}>
          <span>{filter.label}</span>
          <input
            type="datetime-local"
            value={toLocalField(value)}
            onChange={(event) => change(fromLocalField(event.target.value) ?? "")}
            data-set={value !== ""}
          />
        </label>
      );
  }
}

const SETTLE_MS = 250;

/** Text is looked for once the typing rests, or at Enter. What looks like a code is not: it would stand in the address. */
function TextField({ filter, value, change }: FieldProps) {
  const findCode = useCodeSearch();
  const [typed, setTyped] = useState(value);
  const [given, setGiven] = useState(value);
  const [sent, setSent] = useState<string | null>(null);
  if (given !== value) {
    setGiven(value);
    setSent(null);
    if (value !== sent) setTyped(value); // the address changed from elsewhere; else there may be more by now
  }
  useEffect(() => {
    if (typed.trim() === value || looksLikeCode(typed)) return undefined;
    const timer = setTimeout(() => {
      setSent(typed.trim());
      change(typed.trim());
    }, SETTLE_MS);
    return () => clearTimeout(timer);
  }, [typed, value, change]);
  return (
    <label className={filter.wide ? "wide" : ""}>
      <span>{filter.label}</span>
      <input
        type="search"
        value={typed}
        maxLength={200}
        spellCheck={false}
        autoComplete="off"
        data-set={value !== ""}
        data-first={filter.wide}
        onChange={(event) => setTyped(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          if (looksLikeCode(typed)) findCode(typed);
          else {
            setSent(typed.trim());
            change(typed.trim());
          }
        }}
      />
      {looksLikeCode(typed) ? (
        <button type="button" className="quiet" onClick={() => findCode(typed)}>
          A code? Find its order
        </button>
      ) : null}
    </label>
  );
}

function Saved({ page, search, setSearch }: Omit<FilterBarProps, "filters">) {
  const [saved, setSaved] = useState(() => savedFilters(localStorage, page));
  const [name, setName] = useState("");
  const reread = () => setSaved(savedFilters(localStorage, page));
  const some = Object.keys(search).length > 0;
  return (
    <>
      {some ? (
        <span className="save">
          <input
            aria-label="Name for these filters"
            placeholder="Name these filters"
            value={name}
            maxLength={60}
            onChange={(event) => setName(event.target.value)}
          />
          <button
            type="button"
            disabled={name.trim() === ""}
            onClick={() => {
              saveFilter(localStorage, page, { name: name.trim(), search });
              setName("");
              reread();
            }}
          >
            Save
          </button>
        </span>
      ) : null}
      <Menu.Root>
        <Menu.Trigger
          disabled={saved.length === 0}
          title={saved.length === 0 ? "Set filters, then name them" : undefined}
        >
          Saved{saved.length > 0 ? ` (${saved.length})` : ""} ▾
        </Menu.Trigger>
        <Menu.Portal>
          <Menu.Positioner sideOffset={4} align="end">
            <Menu.Popup className="menu">
              {saved.map((each) => (
                <Menu.Item key={each.name} onClick={() => setSearch(each.search)}>
                  {each.name}
                </Menu.Item>
              ))}
              <Menu.Separator className="menu-line" />
              {saved.map((each) => (
                <Menu.Item
                  key={each.name}
                  className="faint"
                  onClick={() => {
                    forgetFilter(localStorage, page, each.name);
                    reread();
                  }}
                >
                  Forget “{each.name}”
                </Menu.Item>
              ))}
            </Menu.Popup>
          </Menu.Positioner>
        </Menu.Portal>
      </Menu.Root>
    </>
  );
}
