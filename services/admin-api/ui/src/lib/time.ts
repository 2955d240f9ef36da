/** Times as people read them: in the admin's zone, beside how long ago, with UTC at hand. */

const UNITS = [
  ["y", 31_557_600],
  ["mo", 2_629_800],
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1],
] as const;

/** How far a moment is from `now`, in its largest unit: "3 min ago", "in 2 h". */
export function relative(moment: Date, now: Date): string {
  const seconds = (now.getTime() - moment.getTime()) / 1000;
  const size = Math.abs(seconds);
  if (size < 5) return "just now";
  const [name, length] = UNITS.find(([, length]) => size >= length) ?? ["s", 1];
  const count = `${Math.floor(size / length)} ${name}`;
  return seconds > 0 ? `${count} ago` : `in ${count}`;
}

/** A length of time in its two largest units: "1 min 5 s", "340 ms". */
export function duration(seconds: number): string {
  if (seconds < 0) return `−${duration(-seconds)}`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${trimmed(seconds.toFixed(1))} s`;
  let rest = Math.round(seconds);
  const parts: string[] = [];
  for (const [name, length] of UNITS.slice(2)) {
    const count = Math.floor(rest / length);
    rest -= count * length;
    if (count > 0) parts.push(`${count} ${name}`);
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

function trimmed(text: string): string {
  return text.replace(/\.0+$/, "");
}

/** The moment in UTC to the second, as logs have it. */
export function utc(moment: Date): string {
  return `${moment.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

const local = new Intl.DateTimeFormat("en-GB", {
  day: "2-digit",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const localYear = new Intl.DateTimeFormat("en-GB", {
  day: "2-digit",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
});

/** The moment in the admin's zone; with its year when that is another one than now. */
export function localTime(moment: Date, now: Date): string {
  return (moment.getFullYear() === now.getFullYear() ? local : localYear).format(moment);
}

/** The name of the admin's zone. */
export function zone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** What a field of type datetime-local holds, as the moment that the API takes; null for none. */
export function fromLocalField(value: string): string | null {
  const moment = new Date(value);
  return value === "" || Number.isNaN(moment.getTime()) ? null : moment.toISOString();
}

/** A moment as a field of type datetime-local shows it. */
export function toLocalField(value: string): string {
  const moment = new Date(value);
  if (Number.isNaN(moment.getTime())) return "";
  return new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
