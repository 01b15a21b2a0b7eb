// Builds the console: one script and one stylesheet, the same bytes from the same sources wherever it runs. ./deploy/console calls it.
//
// node build.mjs FOLDER: where the built files go.
import { copyFile, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const { build } = createRequire(join(process.env.CONSOLE_PACKAGES, "x.js"))("esbuild");
const out = process.argv[2];

await mkdir(out, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: [
    { in: "src/main.tsx", out: "console" },
    { in: "src/style/index.css", out: "console" },
  ],
  outdir: out,
  bundle: true,
  minify: true,
  target: "es2022",
  format: "esm",
  jsx: "automatic",
  jsxImportSource: "preact",
  nodePaths: [join(process.env.CONSOLE_PACKAGES, "node_modules")],
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
});
for (const file of ["index.html", "icon.svg"]) await copyFile(join(here, file), join(out, file));
