/** Signing in: by password, by the identity provider, or with a token. */
import { answered, ProblemError } from "@bitloot/admin-sdk";
import { useQuery } from "@tanstack/react-query";
import { useState, type ReactNode, type SyntheticEvent } from "react";
import { Failure, Loading } from "../parts/basics";
import { PATH } from "../path";
import { api, signIn, signInByToken } from "../session";

/** The key of the query that asks how people can sign in here. */
export const WAYS = "sign-in-ways";

export function SignIn({ why }: { readonly why: string }) {
  const ways = useQuery({
    queryKey: [WAYS],
    queryFn: ({ signal }) => answered(api.GET("/admin/session/ways", { signal })),
    staleTime: Infinity,
  });
  const [byToken, setByToken] = useState(false);
  return (
    <main className="sign-in">
      <div className="panel">
        <h1>
          <img src={`${PATH}/icon.svg`} alt="" width="28" height="28" /> BitLoot desk
        </h1>
        {why ? (
          <p className="bad" role="alert">
            {why}
          </p>
        ) : null}
        {ways.isPending ? <Loading /> : null}
        {ways.isError ? <Failure error={ways.error} retry={() => void ways.refetch()} /> : null}
        {ways.data?.oidc ? (
          <a className="button primary" href={`${PATH}/admin/oidc/login`}>
            Sign in with your company account
          </a>
        ) : null}
        {ways.data?.password && !byToken ? <Password /> : null}
        {byToken ? <Token /> : null}
        {ways.data ? (
          <button type="button" className="quiet" onClick={() => setByToken(!byToken)}>
            {byToken ? "Use a password" : "Use an API token"}
          </button>
        ) : null}
      </div>
    </main>
  );
}

interface FormProps {
  readonly ready: boolean;
  readonly refused: string;
  readonly send: () => Promise<void>;
  readonly children: ReactNode;
}

function Form({ ready, refused, send, children }: FormProps) {
  const [trouble, setTrouble] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: SyntheticEvent) => {
    event.preventDefault();
    if (!ready || busy) return;
    setBusy(true);
    setTrouble(null);
    try {
      await send();
    } catch (error) {
      if (error instanceof ProblemError && error.status === 401) setTrouble(refused);
      else setTrouble(error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
  };
  return (
    <form className="form" onSubmit={submit}>
      {children}
      {trouble ? (
        <p className="bad" role="alert">
          {trouble}
        </p>
      ) : null}
      <button type="submit" className="primary" disabled={!ready || busy}>
        {busy ? "Looking…" : "Sign in"}
      </button>
    </form>
  );
}

function Password() {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  return (
    <Form
      ready={name.trim() !== "" && password !== ""}
      refused="The name or the password is wrong."
      send={() => signIn(name.trim(), password)}
    >
      <label>
        Name
        <input
          value={name}
          onChange={(event) => setName(event.target.value)}
          autoComplete="username"
          maxLength={64}
          spellCheck={false}
          autoFocus
        />
      </label>
      <label>
        Password
        <input
          type="password"
          value={password}
          onChange={(event) => setPassword(event.target.value)}
          autoComplete="current-password"
          maxLength={1024}
        />
      </label>
    </Form>
  );
}

function Token() {
  const [token, setToken] = useState("");
  return (
    <Form ready={token.trim() !== ""} refused="This token is not known here." send={() => signInByToken(token.trim())}>
      <label>
        API token
        <input
          type="password"
          value={token}
          onChange={(event) => setToken(event.target.value)}
          autoComplete="off"
          autoFocus
        />
      </label>
      <p className="faint">It stays in this tab, and is gone when you close it.</p>
    </Form>
  );
}
