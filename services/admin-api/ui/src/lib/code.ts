/** Texts that may be a code. They are searched for in a body only: never in an address, a history or a log. */

/** How many characters a search takes at least: the end of a code has as many. */
export const SHORTEST = 5;
export const LONGEST = 1000;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{0,4}){0,3}(-[0-9a-f]{0,12})?$/i;
const RUN = /^(?=.*[A-Z])(?=.*[0-9])[A-Z0-9]{15,}$/;

/**
 * Whether a text looks like a code, whole or half typed: equal groups of four to six letters and digits (AAAAA-BBBBB-CC), or a long
 * run of capitals and digits. Rather one too many: it is offered as a code and sent nowhere before.
 */
export function looksLikeCode(text: string): boolean {
  const trimmed = text.trim();
  if (UUID.test(trimmed)) return false;
  if (RUN.test(trimmed)) return true;
  const groups = trimmed.split(/[-\s]+/);
  const size = groups[0]?.length ?? 0;
  const alike = groups.every(
    (group, at) =>
      /^[A-Za-z0-9]*$/.test(group) && (at < groups.length - 1 ? group.length === size : group.length <= size),
  );
  if (groups.length < 2 || size < 4 || size > 6 || !alike) return false;
  return groups.length > 2 || /[A-Z0-9]/.test(trimmed);
}

/** Whether the API would look for it. */
export function canBeCode(text: string): boolean {
  return text.trim().length >= SHORTEST && text.length <= LONGEST;
}
