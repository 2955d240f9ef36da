/** A text as lines of bounded length: one line of a megabyte freezes a browser just as many short ones do. */

const MAX = 400;

export function lines(text: string): string[] {
  const found: string[] = [];
  for (const line of text.split("\n")) {
    if (line.length <= MAX) found.push(line);
    else for (let at = 0; at < line.length; at += MAX) found.push(line.slice(at, at + MAX));
  }
  return found;
}
