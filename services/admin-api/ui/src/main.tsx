import { ProblemError } from "@bitloot/admin-sdk";
import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { applyTheme } from "./parts/theme";
import { Clock } from "./parts/time";
import { SignIn } from "./pages/sign-in";
import { router } from "./router";
import { isSignedOut, keepToken, useCredentials } from "./session";
import "./styles.css";

const TRIES = 2;

const queries = new QueryClient({
  queryCache: new QueryCache({
    onError: (error) => {
      if (isSignedOut(error)) keepToken(null);
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
  const { token } = useCredentials();
  return token === null ? <SignIn /> : <RouterProvider router={router} />;
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
