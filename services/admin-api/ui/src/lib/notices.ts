/** What the API tells of changes (`/admin/live`), which queries that concerns, and how often at most they are asked again. */

export interface Notice {
  readonly kind: string;
  /** Which of the kind; none: many. */
  readonly ids: readonly string[];
}

export const EVERYTHING: Notice = { kind: "all", ids: [] };

const LONGEST = 100_000;

/** Read server-sent events as they come, in pieces of any size. What nobody can read may concern everything. */
export function noticeReader(): (piece: string) => readonly Notice[] {
  let rest = "";
  return (piece) => {
    const blocks = (rest + piece).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop() ?? "";
    const found = blocks.flatMap((block) => {
      const data = block
        .split("\n")
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5));
      return data.length > 0 ? [asNotice(data.join("\n"))] : []; // signs of life are comments
    });
    if (rest.length <= LONGEST) return found;
    rest = "";
    return [...found, EVERYTHING];
  };
}

function asNotice(text: string): Notice {
  try {
    const told: unknown = JSON.parse(text);
    if (typeof told === "object" && told !== null && "kind" in told && typeof told.kind === "string") {
      const ids = "ids" in told && Array.isArray(told.ids) ? told.ids.map(String) : [];
      return { kind: told.kind, ids };
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return EVERYTHING;
}

interface Concerned {
  readonly lists: readonly string[];
  readonly one: string;
  readonly figures: readonly string[];
}

const CONCERNED: Readonly<Record<string, Concerned>> = {
  order: {
    lists: ["orders", "reviews", "payments", "reservations", "mails", "actions"],
    one: "order",
    figures: ["count-orders", "overview", "failures"],
  },
  webhook_log: { lists: ["webhook-logs"], one: "webhook-log", figures: [] },
  dead_letter: { lists: ["dead-letters"], one: "dead-letter", figures: ["overview", "failures"] },
};

/** Whether a query shows something of what has changed. A kind that nobody has heard of yet concerns all. */
export function concerns(notice: Notice, key: readonly unknown[]): boolean {
  const [first, second] = key;
  const kinds = CONCERNED[notice.kind] ? [CONCERNED[notice.kind]] : Object.values(CONCERNED);
  return kinds.some(
    (each) =>
      each !== undefined &&
      ((first === "list" && each.lists.includes(String(second))) ||
        (first === each.one && (notice.ids.length === 0 || notice.ids.includes(String(second)))) ||
        each.figures.includes(String(first))),
  );
}

const SOON_MS = 300;
const GAP_MS = 2000;
const KEPT = 100;

/**
 * Gather notices: they are handed over soon, and all that come within the gap together. `hand` may answer false, for later: then
 * they are kept.
 */
export function gathering(hand: (notices: readonly Notice[]) => boolean): {
  readonly add: (notices: readonly Notice[]) => void;
  readonly stop: () => void;
} {
  let kept: readonly Notice[] = [];
  let timer: ReturnType<typeof setTimeout> | null = null;
  let stopped = false;
  const wait = (ms: number) => {
    timer = setTimeout(() => {
      timer = null;
      if (kept.length === 0) return;
      if (hand(kept)) kept = [];
      wait(GAP_MS);
    }, ms);
  };
  return {
    add: (notices) => {
      if (notices.length === 0) return;
      kept = [...kept, ...notices];
      if (kept.length > KEPT) kept = [EVERYTHING];
      if (timer === null && !stopped) wait(SOON_MS);
    },
    stop: () => {
      if (timer !== null) clearTimeout(timer);
      timer = null;
      stopped = true;
    },
  };
}
