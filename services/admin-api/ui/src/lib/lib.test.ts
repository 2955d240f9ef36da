import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { failed, IDLE, step, type ActionState } from "./action";
import { canBeCode, looksLikeCode } from "./code";
import { jsonParts, prettyForm, prettyJson } from "./json";
import { lines } from "./lines";
import { money } from "./money";
import { concerns, EVERYTHING, gathering, noticeReader, type Notice } from "./notices";
import { advice } from "./order";
import { forgetFilter, savedFilters, saveFilter } from "./saved";
import { only, parseSearch, placeOf, safeLink, stringifySearch } from "./search";
import { story } from "./story";
import { duration, localTime, relative, utc } from "./time";

const clicked = (newId: string) => ({ kind: "clicked", newId }) as const;

describe("a click", () => {
  it("keeps its id while it is under way, so that a double click is one", () => {
    const first = step(IDLE, clicked("a"));
    expect(first).toEqual({ kind: "sending", id: "a" });
    expect(step(first, clicked("b"))).toBe(first);
    const running = step(first, { kind: "accepted", id: "a", note: "" });
    expect(step(running, clicked("b"))).toBe(running);
  });

  it("is a new one after each end", () => {
    const ends = [
      { kind: "finished", id: "a", note: "" },
      { kind: "refused", id: "a", reason: "" },
    ] as const;
    for (const end of ends)
      expect(step(step(step(IDLE, clicked("a")), end), clicked("b"))).toEqual({ kind: "sending", id: "b" });
  });

  it("says the same id again when nobody knows whether it was done", () => {
    const lost = step(step(IDLE, clicked("a")), { kind: "lost", id: "a", reason: "time-out" });
    expect(lost.kind).toBe("unknown");
    expect(step(lost, clicked("b"))).toEqual({ kind: "sending", id: "a" });
  });

  it("is refused by whoever judged it, and by nobody else", () => {
    expect(failed(409, false, false)).toBe("refused");
    expect(failed(429, false, false)).toBe("refused");
    expect(failed(409, false, true)).toBe("refused");
    expect(failed(429, false, true)).toBe("lost"); // the try before may have been done
    expect(failed(404, true, false)).toBe("lost"); // accepted: it is only not known how it goes on
    expect(failed(503, false, false)).toBe("lost");
    expect(failed(0, false, false)).toBe("lost");
  });

  it("is not changed by news of an older one, nor after its end", () => {
    const second: ActionState = { kind: "sending", id: "b" };
    expect(step(second, { kind: "finished", id: "a", note: "" })).toBe(second);
    const done: ActionState = { kind: "done", id: "b", note: "" };
    expect(step(done, { kind: "refused", id: "b", reason: "" })).toBe(done);
    expect(step(IDLE, { kind: "finished", id: "a", note: "" })).toBe(IDLE);
  });
});

describe("times", () => {
  const now = new Date("2026-03-01T12:00:00Z");

  it.each([
    ["2026-03-01T11:59:58Z", "just now"],
    ["2026-03-01T11:59:30Z", "30 s ago"],
    ["2026-03-01T11:01:00Z", "59 min ago"],
    ["2026-02-28T12:00:00Z", "1 d ago"],
    ["2025-02-28T12:00:00Z", "1 y ago"],
    ["2026-03-01T12:15:00Z", "in 15 min"],
  ])("%s is %s", (moment, expected) => expect(relative(new Date(moment), now)).toBe(expected));

  it.each([
    [0.34, "340 ms"],
    [4, "4 s"],
    [7.25, "7.3 s"],
    [59.6, "1 min"],
    [3_725, "1 h 2 min"],
    [90_061, "1 d 1 h"],
    [-5, "−5 s"],
  ])("%d s is %s", (seconds, expected) => expect(duration(seconds)).toBe(expected));

  it("are shown in UTC to the second, and with their year when it is another one", () => {
    expect(utc(new Date("2026-03-01T12:00:00.999Z"))).toBe("2026-03-01 12:00:00 UTC");
    expect(localTime(new Date("2024-06-01T12:00:00Z"), now)).toContain("2024");
    expect(localTime(now, now)).not.toContain("2026");
  });
});

describe("JSON for reading", () => {
  it("keeps each number as it was written", () => {
    expect(prettyJson('{"a":1.10,"b":12345678901234567890,"c":[],"d":{"e":"x{\\"}"}}')).toBe(
      '{\n  "a": 1.10,\n  "b": 12345678901234567890,\n  "c": [],\n  "d": {\n    "e": "x{\\"}"\n  }\n}',
    );
    expect(prettyJson("[1,2]")).toBe("[\n  1,\n  2\n]");
    expect(prettyJson('"only text"')).toBe('"only text"');
  });

  it.each(["", "{", "<html>", "{'a':1}", "a=1"])("%j is none", (text) => expect(prettyJson(text)).toBeNull());

  it("shows forms as lines", () => {
    expect(prettyForm("a=1&b=%3Cscript%3E")).toBe("a = 1\nb = <script>");
    expect(prettyForm("no form")).toBeNull();
    expect(prettyForm("{}")).toBeNull();
  });

  it.each(['  "a": 1.10,', '"b\\"c": "d", true', "null]", "  }", "nonsense f n t", "<b>x</b>", ""])(
    "coloring %j changes no character",
    (line) =>
      expect(
        jsonParts(line)
          .map(([, text]) => text)
          .join(""),
      ).toBe(line),
  );

  it("cuts a line of a megabyte, and loses nothing", () => {
    const long = "x".repeat(1_000_001);
    expect(Math.max(...lines(long).map((line) => line.length))).toBeLessThanOrEqual(400);
    expect(lines(long).join("")).toBe(long);
    expect(lines("a\n\nb")).toEqual(["a", "", "b"]);
  });
});

describe("addresses", () => {
  it("round-trip, whatever is in them", () => {
    const search = { q: "a&b=c+d%20é", status: "paid" };
    expect(parseSearch(stringifySearch(search))).toEqual(search);
    expect(stringifySearch({ q: "", other: undefined })).toBe("");
    expect(parseSearch("?__proto__=x&q=1")).toEqual(
      Object.assign(Object.create(null) as object, JSON.parse('{"__proto__":"x","q":"1"}')) as unknown,
    );
  });

  it("keep only what a page knows of", () => expect(only(["q"], { q: "1", evil: "2", n: 5 })).toEqual({ q: "1" }));

  it.each([
    ["50", 50],
    ["-1", 0],
    ["abc", 0],
    ["1e3", 0],
    ["99999999999", 0],
    [undefined, 0],
  ])("offset %j is %d", (offset, expected) =>
    expect(placeOf({ q: "a", ...(offset === undefined ? {} : { offset }) })).toEqual({
      place: expected > 0 ? { offset: expected } : {},
      conditions: { q: "a" },
    }),
  );

  it("say beside which row a page is, whatever else an address says", () =>
    expect(placeOf({ q: "a", cursor: "x.y", offset: "50" })).toEqual({
      place: { cursor: "x.y" },
      conditions: { q: "a" },
    }));

  it.each([
    ["https://pay.example.test/1", "https://pay.example.test/1"],
    ["javascript:alert(1)", null],
    ["data:text/html,x", null],
    [" java\nscript:alert(1)", null],
    ["/relative", null],
    [null, null],
  ])("%j may become the link %j", (address, expected) => expect(safeLink(address)).toBe(expected));
});

describe("a text that may be a code", () => {
  it.each([
    "AAAAA-BBBBB-CCCC1",
    "  aaaaa-bbbbb-cccc1 ",
    "AAAAA BBBBB CCCC1",
    "AAAAA-B",
    "AAAA-BBBB-CCCC-DDDD",
    "abcd-efgh-ij",
    "A1B2C3D4E5F6G7H",
  ])("%j is not searched for as anything else", (text) => expect(looksLikeCode(text)).toBe(true));

  it.each([
    "",
    "ada@example.test",
    "a1b2-c3d4@example.test",
    "0190aaaa-7000-7000-8000-000000000007",
    "0190aaaa-7000",
    "res-1",
    "PHS84FJAG5U",
    "5c9b5c6a2539a4e8f172916a",
    "4711471147114711",
    "Orders",
    "webhook logs",
    "-----",
  ])("%j is an address, an id or a page", (text) => expect(looksLikeCode(text)).toBe(false));

  it("is looked for from five characters on", () => {
    expect(canBeCode(" CCC1 ")).toBe(false);
    expect(canBeCode("CCCC1")).toBe(true);
    expect(canBeCode("C".repeat(1001))).toBe(false);
  });
});

describe("notices", () => {
  const told = { kind: "order", ids: ["a"] };

  it("are read from pieces of any size", () => {
    const text = `: still here\n\ndata: ${JSON.stringify(told)}\r\n\r\ndata: {"kind": "all"}\n\n`;
    const read = noticeReader();
    expect(text.split(/(?=.)/s).flatMap((letter) => read(letter))).toEqual([told, EVERYTHING]);
    expect(noticeReader()(text)).toEqual([told, EVERYTHING]);
  });

  it.each(["data: nonsense\n\n", "data: null\n\n", 'data: {"kind": 5}\n\n', "x".repeat(100_001)])(
    "what cannot be read may concern everything: %#",
    (text) => expect(noticeReader()(text)).toEqual([EVERYTHING]),
  );

  it.each([
    [told, ["order", "a"], true],
    [told, ["order", "b"], false],
    [{ kind: "order", ids: [] }, ["order", "b"], true],
    [told, ["list", "orders", {}, 0], true],
    [told, ["list", "webhook-logs", {}, 0], false],
    [told, ["settings"], false],
    [{ kind: "dead_letter", ids: ["7"] }, ["dead-letter", "7"], true],
    [EVERYTHING, ["list", "webhook-logs", {}, 0], true],
    [EVERYTHING, ["settings"], false],
    [{ kind: "of the future", ids: ["7"] }, ["list", "orders"], true],
  ] as const)("%j and the query %j: %j", (notice, key, expected) => expect(concerns(notice, key)).toBe(expected));

  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("are handed over soon, and a thousand of them a few times only", () => {
    const handed: number[] = [];
    const gathered = gathering((notices) => handed.push(notices.length) > 0);
    gathered.add([told]);
    vi.advanceTimersByTime(300);
    expect(handed).toEqual([1]);
    for (let each = 0; each < 1000; each += 1) {
      gathered.add([told]);
      vi.advanceTimersByTime(10);
    }
    vi.advanceTimersByTime(5000);
    expect(handed.length).toBeLessThanOrEqual(7);
    expect(handed.length).toBeGreaterThanOrEqual(5);
  });

  it("wait while what they concern is being read, and are not forgotten", () => {
    let busy = true;
    const handed: (readonly Notice[])[] = [];
    const gathered = gathering((notices) => {
      if (busy) return false;
      handed.push(notices);
      return true;
    });
    gathered.add([told]);
    vi.advanceTimersByTime(5000);
    expect(handed).toEqual([]);
    busy = false;
    vi.advanceTimersByTime(2000);
    expect(handed).toEqual([[told]]);
    gathered.stop();
    gathered.add([told]);
    vi.advanceTimersByTime(10_000);
    expect(handed).toHaveLength(1);
  });
});

describe("saved filters", () => {
  const store = () => {
    const kept = new Map<string, string>();
    return {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
    };
  };

  it("are kept by page and name", () => {
    const at = store();
    saveFilter(at, "orders", { name: "mine", search: { status: "paid" } });
    saveFilter(at, "orders", { name: "mine", search: { status: "failed" } });
    saveFilter(at, "payments", { name: "other", search: {} });
    expect(savedFilters(at, "orders")).toEqual([{ name: "mine", search: { status: "failed" } }]);
    forgetFilter(at, "orders", "mine");
    expect(savedFilters(at, "orders")).toEqual([]);
    expect(savedFilters(at, "payments")).toHaveLength(1);
  });

  it.each([
    "nonsense",
    "null",
    "[]",
    '{"orders": 5}',
    '{"orders": [{"name": 1}, null, {"name": "a", "search": {"q": 5}}, {"name": "b", "search": null}]}',
  ])("what is not sound is left out: %s", (text) => {
    const at = store();
    at.setItem("bitloot.filters", text);
    expect(savedFilters(at, "orders")).toEqual([]);
  });
});

describe("an order", () => {
  const order = {
    status: "needs_review" as const,
    review: { cause: "out_of_stock", detail: "no offer", itemId: null, since: "2026-03-01T12:00:00Z" },
    mailedAt: null,
    revealedAt: null,
    payments: [],
  };

  it("in review says why and offers to go on", () => {
    const advised = advice(order);
    expect(advised.title).toContain("out of stock");
    expect(advised.text).toContain("No offer. Kinguin has nothing to sell");
    expect(advised.actions[0]).toBe("reprocess");
  });

  it.each(["canceled", "refunded", "failed"] as const)("that is %s offers nothing", (status) =>
    expect(advice({ ...order, status, review: null }).actions).toEqual([]),
  );

  it("is told as a story, also by events that nobody has heard of", () => {
    const happening = (type: string, payload: unknown) => ({
      eventId: type,
      type,
      occurredAt: "2026-03-01T12:00:00Z",
      sincePreviousSeconds: null,
      repeats: 0,
      lastRecordedAt: "2026-03-01T12:00:00Z",
      payload,
    });
    const [failed, strange, bare] = story({
      timeline: [
        happening("effect.failed", {
          effect_id: "i/buy/2",
          failure: "transient",
          cause: "rate_limited",
          detail: "429",
        }),
        happening("from.the.future", { a: 1 }),
        happening("mail.sent", null),
      ] as never,
    });
    expect([failed?.title, failed?.text]).toEqual(["Failed: buy, try 2", "transient · rate limited · 429"]);
    expect(strange?.title).toBe("from.the.future");
    expect(bare?.text).toBe("");
  });
});

it.each([
  ["17.3", "17.30"],
  ["17", "17.00"],
  ["0.00039960", "0.00039960"],
  ["-1.5", "-1.50"],
  ["1e5", "1e5"],
])("%s is %s", (value, expected) => expect(money(value)).toBe(expected));
