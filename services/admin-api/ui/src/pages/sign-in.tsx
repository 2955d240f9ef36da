/** Signing in. */
import { answered, createAdminClient, ProblemError } from "@bitloot/admin-sdk";
import { useState, type SyntheticEvent } from "react";
import { keepToken } from "../session";

export function SignIn() {
  const [token, setToken] = useState("");
  const [trouble, setTrouble] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const signIn = async (event: SyntheticEvent) => {
    event.preventDefault();
    setBusy(true);
    setTrouble(null);
    try {
      const client = createAdminClient({ token: () => token.trim() });
      await answered(client.GET("/admin/orders", { params: { query: { limit: 1 } } }));
      keepToken(token.trim());
    } catch (error) {
      setTrouble(
        error instanceof ProblemError && error.status === 401
          ? "This token is not known here."
          : error instanceof Error
            ? error.message
            : String(error),
      );
    } finally {
      setBusy(false);
    }
  };
  return (
    <main className="sign-in">
      <form onSubmit={signIn} className="panel">
        <h1>
          <img src="/icon.svg" alt="" width="28" height="28" /> BitLoot desk
        </h1>
        <label>
          API token
          <input
            type="password"
            value={token}
            onChange={(event) => setToken(event.target.value)}
            autoComplete="off"
            autoFocus
            required
          />
        </label>
        <p className="faint">It stays in this tab and is gone when you close it.</p>
        {trouble ? (
          <p className="bad" role="alert">
            {trouble}
          </p>
        ) : null}
        <button type="submit" className="primary" disabled={busy || token.trim() === ""}>
          {busy ? "Looking…" : "Sign in"}
        </button>
      </form>
    </main>
  );
}
