/** JSON for reading: indented without being parsed, so that 1.10 stays 1.10 and a large number keeps its digits. */

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** Indent a JSON text. Returns null for what is not JSON. */
export function prettyJson(text: string): string | null {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  const out: string[] = [];
  let depth = 0;
  let previous = "";
  const line = () => out.push("\n", "  ".repeat(depth));
  for (const [token] of text.matchAll(TOKEN)) {
    const opened = previous === "{" || previous === "[";
    if (token === "}" || token === "]") {
      depth -= 1;
      if (!opened) line();
      out.push(token);
    } else {
      if (opened) line();
      if (token === "{" || token === "[") depth += 1;
      out.push(token === ":" ? ": " : token);
      if (token === ",") line();
    }
    previous = token;
  }
  return out.join("");
}

/** A form body (a=1&b=2) as lines; null for what is none. */
export function prettyForm(text: string): string | null {
  if (!/^[^\s=&]+=[^\s&]*(&[^\s=&]+=[^\s&]*)*$/.test(text)) return null;
  return [...new URLSearchParams(text)].map(([name, value]) => `${name} = ${value}`).join("\n");
}

export type JsonPart = readonly [kind: "key" | "string" | "number" | "word" | "mark", text: string];

/** The parts of one line of indented JSON, for coloring. */
export function jsonParts(line: string): JsonPart[] {
  const parts: JsonPart[] = [];
  const pattern = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*)|(true|false|null)|([^"\d\-tfn]+|.)/g;
  for (const [whole, text, colon, number, word] of line.matchAll(pattern)) {
    if (text !== undefined) {
      parts.push([colon === undefined ? "string" : "key", text]);
      if (colon !== undefined) parts.push(["mark", colon]);
    } else if (number !== undefined) parts.push(["number", number]);
    else if (word !== undefined) parts.push(["word", word]);
    else parts.push(["mark", whole]);
  }
  return parts;
}
