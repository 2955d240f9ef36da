/** The state of a list in its address: plain words, so that links can be read, typed and shared. */

export type Search = Readonly<Record<string, string>>;

/** Read an address's query; a name that is given twice counts once, the last time. */
export function parseSearch(text: string): Search {
  const found: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of new URLSearchParams(text)) if (value !== "") found[name] = value;
  return { ...found };
}

/** Write a query, without what is empty. */
export function stringifySearch(search: Readonly<Record<string, unknown>>): string {
  const given = Object.entries(search).filter(
    (each): each is [string, string] => typeof each[1] === "string" && each[1] !== "",
  );
  const text = new URLSearchParams(given).toString();
  return text === "" ? "" : `?${text}`;
}

/** Keep what a page knows of; all else in an address is nobody's. */
export function only(names: readonly string[], search: Readonly<Record<string, unknown>>): Search {
  const kept: Record<string, string> = {};
  for (const name of names) {
    const value = search[name];
    if (typeof value === "string" && value !== "") kept[name] = value;
  }
  return kept;
}

/** The names under which an address says where in a list it is: beside a row, or, in addresses that people write, so far on. */
export const PLACES = ["cursor", "offset"] as const;

export interface Place {
  readonly cursor?: string;
  readonly offset?: number;
}

export interface Paging extends Place {
  readonly limit: number;
}

const LARGEST_PAGE = 100; // that the API gives
const MOST_PAGES = 100;

interface Part<Row> {
  readonly items: readonly Row[];
  readonly next: string | null;
}

const numbers = new Intl.NumberFormat("en-US");

/** How many rows a list has, in words: what was estimated says so. */
export function howMany(list: { readonly total: number; readonly totalExact: boolean }): string {
  return `${list.totalExact ? "" : "about "}${numbers.format(list.total)}`;
}

/** All rows of a list that is short enough to be looked through whole: page after page, ten thousand rows at most. */
export async function everyPage<Row>(load: (paging: Paging) => Promise<Part<Row>>): Promise<readonly Row[]> {
  const rows: Row[] = [];
  let cursor: string | null = null;
  for (let pages = 0; pages < MOST_PAGES; pages += 1) {
    const page: Part<Row> = await load({ limit: LARGEST_PAGE, ...(cursor === null ? {} : { cursor }) });
    rows.push(...page.items);
    cursor = page.next;
    if (cursor === null) break;
  }
  return rows;
}

/** Where in a list a search is, and its filters. What is strange is the first page. */
export function placeOf(search: Search): { readonly place: Place; readonly conditions: Search } {
  const { cursor, offset = "0", ...conditions } = search;
  if (cursor !== undefined) return { place: { cursor }, conditions };
  const number = /^\d{1,9}$/.test(offset) ? Number(offset) : 0;
  return { place: number > 0 ? { offset: number } : {}, conditions };
}

/** Only addresses of the web may become links: what a payload names may be `javascript:`. */
export function safeLink(address: string | null | undefined): string | null {
  if (!address) return null;
  try {
    const { protocol, href } = new URL(address);
    return protocol === "https:" || protocol === "http:" ? href : null;
  } catch {
    return null;
  }
}
