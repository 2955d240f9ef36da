/** The path below which the desk is served, without its last slash; "" at the top. The API tells it in the page. */
export const PATH = (document.querySelector<HTMLMetaElement>('meta[name="bitloot-path"]')?.content ?? "/").replace(
  /\/$/,
  "",
);
