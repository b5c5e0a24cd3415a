// Builds the viewer into dist/, and serves it with a fake or a real API beside it while developing.
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const API_URL = process.env.CROWSNEST_API_URL ?? "http://127.0.0.1:32080";

export default defineConfig({
  plugins: [react()],
  build: {
    // From these on, browsers know light-dark() and the rest that the style sheets use.
    target: ["chrome123", "firefox120", "safari17.5"],
    // A data: URL in a style sheet or script would need a wider Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: { "/api": API_URL } },
});
