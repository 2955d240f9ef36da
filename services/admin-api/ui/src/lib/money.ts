/** Amounts as they came, never as numbers: a float would change them. */

/** An amount with two decimals or more: what the API tells as 17.3 is 17.30. */
export function money(value: string): string {
  const found = /^(-?\d+)(?:\.(\d*))?$/.exec(value);
  return found ? `${found[1] ?? ""}.${(found[2] ?? "").padEnd(2, "0")}` : value;
}
