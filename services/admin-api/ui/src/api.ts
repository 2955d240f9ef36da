/** The desk's one way to the API: the SDK, with the session that is signed in. */
import { createAdminClient } from "@bitloot/admin-sdk";
import { credentials } from "./session";

export const api = createAdminClient({
  token: () => credentials().token,
  csrfToken: () => credentials().csrfToken,
});
