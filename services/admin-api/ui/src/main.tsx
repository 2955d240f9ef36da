import { ProblemError } from "@bitloot/admin-sdk";
import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode, useEffect } from "react";
import { createRoot } from "react-dom/client";
import { applyTheme } from "./parts/theme";
import { Clock } from "./parts/time";
import { SignIn, WAYS } from "./pages/sign-in";
import { router } from "./router";
import { askSession, isSignedOut, sessionOver, useSession } from "./session";
import { Failure, Loading } from "./parts/basics";
import "./styles.css";

const TRIES = 2;

const queries = new QueryClient({
  queryCache: new QueryCache({
    onError: (error) => {
      if (isSignedOut(error)) sessionOver("Your session is over: sign in again.");
    },
  }),
  defaultOptions: {
    queries: {
      // Asking again helps where the API or what it needs is away, never where it has said no.
      retry: (tries, error) =>
        tries < TRIES && error instanceof ProblemError && (error.status === 0 || error.status >= 500),
      staleTime: 2000,
    },
  },
});

function Desk() {
  const session = useSession();
  useEffect(() => {
    if (session.kind === "asking") void askSession();
    // Nothing of what was seen stays behind; how people sign in is being asked for already.
    if (session.kind === "out") queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== WAYS });
  }, [session.kind]);
  switch (session.kind) {
    case "asking":
      return <Loading what="Looking who you are" />;
    case "trouble":
      return <Failure error={session.error} retry={() => void askSession()} />;
    case "out":
      return <SignIn why={session.why} />;
    case "token":
    case "person":
      return <RouterProvider router={router} />;
  }
}

applyTheme();
const desk = document.getElementById("desk");
if (desk) {
  createRoot(desk).render(
    <StrictMode>
      {/* The policy allows no style elements: what the components would add is in styles.css. */}
      <CSPProvider disableStyleElements>
        <QueryClientProvider client={queries}>
          <Clock>
            <Desk />
          </Clock>
        </QueryClientProvider>
      </CSPProvider>
    </StrictMode>,
  );
}
