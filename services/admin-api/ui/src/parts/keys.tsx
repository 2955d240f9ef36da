/** Keys: `/` to the filter, `j` and `k` through rows, Enter to open, `g` and a letter to a page, `?` for all of them. */
import { useNavigate } from "@tanstack/react-router";
import { useEffect, type RefObject } from "react";
import { PAGES } from "../pages";

/** Whether a key is meant for a field, or for the browser. */
function isTyping(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return true;
  const target = event.target;
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable ||
      /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) ||
      target.closest("[role=dialog],[role=menu]") !== null)
  );
}

export function useListKeys(body: RefObject<HTMLTableSectionElement | null>, enabled: boolean): void {
  useEffect(() => {
    if (!enabled) return undefined;
    const onKey = (event: KeyboardEvent) => {
      if (isTyping(event) || !body.current) return;
      if (event.key !== "j" && event.key !== "k") return;
      const links = [...body.current.rows]
        .map((row) => row.querySelector<HTMLElement>("a, button"))
        .filter((link) => link !== null);
      const at = links.findIndex((link) => link.closest("tr")?.contains(document.activeElement));
      const next = links[Math.min(links.length - 1, Math.max(0, at + (event.key === "j" ? 1 : -1)))];
      next?.focus();
      event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [body, enabled]);
}

const CHORD_MS = 1200;

export function usePageKeys(help: () => void, palette: () => void, code: () => void): void {
  const navigate = useNavigate();
  useEffect(() => {
    let chord = 0;
    const onKey = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        palette();
        return;
      }
      if (isTyping(event)) return;
      const begun = event.timeStamp - chord < CHORD_MS;
      const page = begun ? PAGES.find((each) => each.key === event.key) : undefined;
      chord = 0;
      if (begun && event.key === "c") code();
      else if (page) void navigate({ to: page.path });
      else if (event.key === "g") chord = event.timeStamp;
      else if (event.key === "?") help();
      else if (event.key === "/") {
        const field = document.querySelector<HTMLElement>(
          "form[role=search] input[data-first=true], form[role=search] input",
        );
        if (field) field.focus();
        else palette();
      } else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [navigate, help, palette, code]);
}
