/** Filters that an admin has named, kept in this browser. */
import { only, type Search } from "./search";

export interface SavedFilter {
  readonly name: string;
  readonly search: Search;
}

const KEY = "bitloot.filters";

type Store = Pick<Storage, "getItem" | "setItem">;

/** Return the filters of a page. What is not sound in the store is left out. */
export function savedFilters(store: Store, page: string): readonly SavedFilter[] {
  const found = all(store)[page];
  return Array.isArray(found) ? found.filter(isSaved) : [];
}

/** Keep a filter under a name; the same name again takes its place. */
export function saveFilter(store: Store, page: string, filter: SavedFilter): void {
  write(store, page, [...savedFilters(store, page).filter((each) => each.name !== filter.name), filter]);
}

export function forgetFilter(store: Store, page: string, name: string): void {
  write(
    store,
    page,
    savedFilters(store, page).filter((each) => each.name !== name),
  );
}

function write(store: Store, page: string, filters: readonly SavedFilter[]): void {
  store.setItem(KEY, JSON.stringify({ ...all(store), [page]: filters }));
}

function all(store: Store): Record<string, unknown> {
  try {
    const found: unknown = JSON.parse(store.getItem(KEY) ?? "{}");
    return typeof found === "object" && found !== null && !Array.isArray(found)
      ? (found as Record<string, unknown>)
      : {};
  } catch {
    return {}; // somebody else's text: the next filter that is saved takes its place
  }
}

function isSaved(value: unknown): value is SavedFilter {
  if (typeof value !== "object" || value === null) return false;
  const { name, search } = value as Partial<SavedFilter>;
  return (
    typeof name === "string" &&
    typeof search === "object" &&
    (search as unknown) !== null &&
    Object.keys(only(Object.keys(search), search)).length === Object.keys(search).length
  );
}
