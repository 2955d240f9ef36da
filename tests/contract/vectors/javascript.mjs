// Writes javascript.json: what JavaScript makes of numbers and of whole bodies. The tests read that file and
// need no Node. Run it again only to add cases: node tests/contract/vectors/javascript.mjs
import { writeFileSync } from "node:fs";

let state = 20260131; // a fixed seed: the same file every time
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};
const pick = (list) => list[Math.floor(random() * list.length)];
const int = (limit) => Math.floor(random() * limit);
const digits = (count) => Array.from({ length: count }, () => int(10)).join("");

const fixed = [
  "0", "-0", "0.0", "-0.0", "0e5", "0E-400", "1", "-1", "1.0", "1.50", "10", "100", "1e2", "1E2", "1e+2", "1e-2",
  "0.1", "0.000083", "0.000001", "0.0000010", "0.0000001", "1e-6", "1e-7", "9.99e-7", "9.999999999999999e-7",
  "123456789012345680000", "1e20", "1e21", "999999999999999900000", "999999999999999999999", "1000000000000000000000",
  "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993", "4.35", "0.30000000000000004",
  "5e-324", "2.4e-324", "2.5e-324", "1e-400", "1.7976931348623157e308", "1.7976931348623159e308", "1e309", "-1e400",
  "2.2250738585072014e-308", "2.225073858507201e-308", "12345678901234567890", "0.1234567890123456789", "1e16", "1e17",
  "123e-20", "123e20", "1.5e-7", "1.2345e25", "-1.2345e-25", "4294967295", "2.5e3", "100e-2", "0.00042117", "25e-1",
];
const bits = new DataView(new ArrayBuffer(8));
const anyDouble = () => {
  bits.setUint32(0, int(2 ** 32));
  bits.setUint32(4, int(2 ** 32));
  const value = bits.getFloat64(0);
  return Number.isFinite(value) ? value.toString() : "1";
};
const spelled = () =>
  `${pick(["", "-"])}${int(3) ? 1 + int(9) + digits(int(22)) : "0"}` +
  `${int(2) ? "." + digits(1 + int(20)) : ""}${int(2) ? pick(["e", "E"]) + pick(["", "+", "-"]) + int(30) : ""}`;
const texts = [...fixed, ...Array.from({ length: 400 }, anyDouble), ...Array.from({ length: 500 }, spelled)];
const numbers = texts.map((text) => [text, JSON.stringify(JSON.parse(text))]);

const keys = [
  "a", "b", "Z", "_", "", "0", "1", "01", "10", "2", "-1", "1.5", "4294967294", "4294967295", "fee", "é", "ﬀ", "～",
  "😀", "\ud800", "constructor", "toString", "__proto__", "hasOwnProperty", "\n", '"', "\\", " ", "1e3", "00",
];
const strings = [...keys, "\u0000\u001f\u007f\u2028\u2029", "</script>&", "a/b", "\b\f\n\r\t", "x\udc00y", "ゲーム🎮"];
const body = (depth) => {
  switch (depth > 3 ? int(4) : int(6)) {
    case 0: return pick(["true", "false", "null"]);
    case 1: return spelled();
    case 2: return JSON.stringify(pick(strings));
    case 3: return pick(fixed);
    case 4: return `[${Array.from({ length: int(4) }, () => body(depth + 1)).join(pick([",", " ,\n"]))}]`;
    default: return object(depth);
  }
};
const object = (depth) =>
  `{${Array.from({ length: int(7) }, () => `${JSON.stringify(pick(keys))}${pick([":", " : "])}${body(depth + 1)}`).join(", ")}}`;

// The vendor's rule: sorted at every depth, arrays stay arrays.
const sort = (value) => {
  if (Array.isArray(value)) return value.map(sort);
  if (value === null || typeof value !== "object") return value;
  return Object.keys(value).sort().reduce((result, key) => {
    result[key] = sort(value[key]);
    return result;
  }, {});
};
const bodies = Array.from({ length: 200 }, () => object(0)).map((text) => [text, JSON.stringify(sort(JSON.parse(text)))]);

writeFileSync(
  new URL("javascript.json", import.meta.url),
  `{"numbers":[\n${numbers.map((each) => JSON.stringify(each)).join(",\n")}\n],\n` +
    `"bodies":[\n${bodies.map((each) => JSON.stringify(each)).join(",\n")}\n]}\n`,
);
