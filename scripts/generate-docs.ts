import { readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { cliReference } from "../packages/cli/src/cli-reference.ts";
import { settingsReference } from "../packages/runtime/src/config/settings-reference.ts";
import { kafkaProtocolPage } from "./kafka-protocol-page.ts";
import { mutantsPage } from "./mutants-page.ts";

/**
 * Writes the pages of docs/ that are generated from the code. With --check it writes nothing and exits with 1
 * when a page is stale. Usage: sh scripts/node.sh scripts/generate-docs.ts [--check]
 */
const PAGES: Readonly<Record<string, () => string | Promise<string>>> = {
  "docs/configuration.md": settingsReference,
  "docs/kafka-protocol.md": kafkaProtocolPage,
  "docs/cli.md": cliReference,
  "docs/mutants.md": mutantsPage,
};

const { values } = parseArgs({ options: { check: { type: "boolean", default: false } } });
for (const [path, render] of Object.entries(PAGES)) {
  const location = new URL(`../${path}`, import.meta.url);
  const wanted = await render();
  const present = await readFile(location, "utf8").catch(() => "");
  if (present === wanted) continue;
  if (values.check) {
    process.stderr.write(`${path} is stale: run sh scripts/node.sh scripts/generate-docs.ts\n`);
    process.exitCode = 1;
  } else {
    await writeFile(location, wanted);
    process.stdout.write(`wrote ${path}\n`);
  }
}
