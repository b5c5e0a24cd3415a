// What a first visit loads, gzipped, against the budget. Lazy chunks are not part of it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const BUDGET_KIB = 200;
const dist = join(import.meta.dirname, "..", "dist");
const html = readFileSync(join(dist, "index.html"), "utf8");
const linked = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map((match) => match[1]);
const files = ["/index.html", ...linked];
let total = 0;
for (const file of files) {
  const bytes = gzipSync(readFileSync(join(dist, file)), { level: 9 }).length;
  total += bytes;
  console.log(`${(bytes / 1024).toFixed(1).padStart(7)} KiB  ${file}`);
}
const kib = total / 1024;
console.log(`${kib.toFixed(1).padStart(7)} KiB  first load, gzipped; the budget is ${BUDGET_KIB} KiB`);
if (linked.length < 2) {
  console.error("size: index.html links no script and style sheet; was `npm run build` run?");
  process.exit(1);
}
if (kib > BUDGET_KIB) {
  console.error(`size: over the budget by ${(kib - BUDGET_KIB).toFixed(1)} KiB`);
  process.exit(1);
}
