import react from "@vitejs/plugin-react";
import { loadEnv } from "vite";
import { defineConfig } from "vitest/config";

const proxied = ["/admin", "/openapi.json", "/docs", "/static", "/readyz", "/metrics"];

export default defineConfig(({ mode }) => ({
  plugins: [react()],
  build: {
    outDir: "../admin_api/api/static/dist",
    emptyOutDir: true,
    assetsDir: "assets",
    // The policy allows no script in the page, and data: addresses nowhere.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    target: "es2023",
    // Libraries change less often than pages do: browsers keep them.
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: "libraries", test: /node_modules/ }] } } },
    chunkSizeWarningLimit: 600,
  },
  // For `npx vite`: ADMIN_URL is the admin_url of .run/stack.json. The built desk is served by the API itself.
  server: { proxy: Object.fromEntries(proxied.map((path) => [path, loadEnv(mode, ".", "ADMIN_")["ADMIN_URL"] ?? ""])) },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
}));
