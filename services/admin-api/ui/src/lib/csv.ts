/** Tables as CSV (RFC 4180), safe to open in a spreadsheet. */

export type CsvValue = string | number | boolean | null | undefined;

/**
 * One field. Text that a spreadsheet would run as a formula gets an apostrophe in front: mail addresses and titles come from
 * outside (CSV injection).
 */
export function csvField(value: CsvValue): string {
  if (value === null || value === undefined) return "";
  const raw = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(raw) ? `"${raw.replaceAll('"', '""')}"` : raw;
}

/** A whole file, with a header line. */
export function csv(header: readonly string[], rows: readonly (readonly CsvValue[])[]): string {
  return [header, ...rows].map((row) => row.map(csvField).join(",")).join("\r\n") + "\r\n";
}
