/** What is around every page: menu, search, theme, keys. */
import { useIsFetching } from "@tanstack/react-query";
import { Link, Outlet, useLocation } from "@tanstack/react-router";
import { useCallback, useEffect, useRef, useState } from "react";
import { PAGES } from "../pages";
import { PATH } from "../path";
import { POLL_MS, useLive, useStreaming } from "../live";
import { signOut, useSession } from "../session";
import { zone } from "../lib/time";
import { CodeSearch, useCodeSearch } from "./code-search";
import { Dialog } from "./dialog";
import { usePageKeys } from "./keys";
import { Palette } from "./palette";
import { ThemeButton } from "./theme";

const KEYS = [
  ["Ctrl K", "find an order, go to a page"],
  ["g  c", "find an order by a code"],
  ["/", "to the filters"],
  ["j  k", "next, previous row"],
  ["Enter", "open the row"],
  ["?", "these keys"],
] as const;

export function Shell() {
  return (
    <CodeSearch>
      <Around />
    </CodeSearch>
  );
}

function Around() {
  const findCode = useCodeSearch();
  const [help, setHelp] = useState(false);
  const [palette, setPalette] = useState(false);
  const session = useSession();
  const fetching = useIsFetching();
  useLive();
  const streaming = useStreaming();
  usePageKeys(
    useCallback(() => setHelp(true), []),
    useCallback(() => setPalette(true), []),
    useCallback(() => findCode(""), [findCode]),
  );
  const main = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  useEffect(() => {
    const page = PAGES.find((each) => each.path !== "/" && pathname.startsWith(each.path)) ?? PAGES[0];
    document.title = `${page.name} · BitLoot desk`;
    main.current?.scrollTo(0, 0);
  }, [pathname]);
  return (
    <div className="shell">
      <a className="skip" href="#main">
        To the page
      </a>
      <header className="top">
        <Link to="/" className="brand">
          <img src={`${PATH}/icon.svg`} alt="" width="22" height="22" /> BitLoot <span className="faint">desk</span>
        </Link>
        <button type="button" className="find" onClick={() => setPalette(true)}>
          Find by mail address, any id or a code <kbd>Ctrl K</kbd>
        </button>
        <span className="spread" />
        <span className="faint zone" title="Times are in this zone; UTC shows on hover">
          {zone()}
        </span>
        <span
          className="faint live"
          title={streaming ? "Changes show by themselves" : `Read again every ${POLL_MS / 1000} s`}
        >
          <span className={`pulse ${fetching > 0 ? "on" : streaming ? "live" : ""}`} />
          {streaming ? "Live" : "Polling"}
        </span>
        <button type="button" className="quiet" onClick={() => setHelp(true)} aria-label="Keys" title="Keys">
          ?
        </button>
        <ThemeButton />
        <span
          className="faint"
          title={session.kind === "person" ? session.who.roles.join(", ") : "Signed in with an API token"}
        >
          {session.kind === "person" ? session.who.user : "API token"}
        </span>
        <button type="button" className="quiet" onClick={() => void signOut()}>
          Sign out
        </button>
      </header>
      <nav className="menu-bar" aria-label="Pages">
        {PAGES.map((page) => (
          <Link key={page.path} to={page.path} activeOptions={{ exact: page.path === "/", includeSearch: false }}>
            {page.name}
          </Link>
        ))}
        <span className="spread" />
        <a href={`${PATH}/docs`}>API</a>
      </nav>
      <main id="main" ref={main} tabIndex={0}>
        <Outlet />
      </main>
      <Palette open={palette} close={() => setPalette(false)} />
      <Dialog open={help} close={() => setHelp(false)} title="Keys">
        <dl className="facts">
          {KEYS.map(([key, what]) => (
            <div className="fact" key={key}>
              <dt>
                <kbd>{key}</kbd>
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
          {PAGES.map((page) => (
            <div className="fact" key={page.path}>
              <dt>
                <kbd>g {page.key}</kbd>
              </dt>
              <dd>{page.name}</dd>
            </div>
          ))}
        </dl>
      </Dialog>
    </div>
  );
}
